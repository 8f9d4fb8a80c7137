"""Train the embedded judge from scratch on pairs of reports that this project writes.

Command:  bash launch/embedded_judge.sh
          which is reeval train --config=configs/embedded_judge.py, then reeval export
Hardware: 2 CPU cores
Memory:   2.6 GB. On the smallest TPU, of 17.18 GB, by compilation: training step 0.82 GB
          reeval plan --config=configs/embedded_judge.py --topology=v5e:1x1
Duration: 38 minutes on two cores that had a little other work too
Expected: lines of the verdict found, severities aside, on unseen reports of 2 to 4 sentences: 89 % on the split that it
          learns from, 68 % on train, 69 % on heldout; whole verdicts exact: 82, 51 and 48 % (n 128 each, one pass)

The judge that is shipped was made by one run of this recipe, on pairs as `reeval synth` made them then; its rules have
been mended since, so another run will come close to it and not repeat it.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "tuning": "from_scratch",
            "prompt": "compact-1",
            "mesh": (-1, 1, 1),
            # Wider learns less in the same time: how many tokens it sees matters more.
            "model": {
                "vocab_size": 1536,
                "d_model": 128,
                "hidden": 384,
                "num_layers": 4,
                "num_heads": 4,
                "num_kv_heads": 2,
                "head_dim": 32,
                "rope_theta": 1e4,
                "norm_eps": 1e-6,
                "tied": True,
            },
            "data": {
                "rows": 32,
                "length": 256,
                # Short reports first: (until this share of the run, least and most sentences of a report).
                "curriculum": ((0.08, 1, 1), (0.2, 1, 2), (0.4, 1, 4), (1.0, 2, 4)),
                "scrambled": 0.4,
                # What is harmless comes after what is not: (until this share, share of pairs with variation).
                "varied": ((0.3, 0.0), (0.6, 0.5), (1.0, 0.85)),
                # The boundary comes late, and under a prior that flags everything.
                "true_severities": ((0.6, 0.0), (1.0, 0.3)),
                "two_pass_share": 0.3,
                "identical": 0.1,
            },
            "train": {
                "steps": 2_667,
                "muon_rate": 0.02,
                "adam_rate": 3e-3,
                "warmup": 0.02,
                # What computes attention: auto (by the mesh), xla, blockwise, splash or cudnn.
                "attention": "auto",
                # Processes that make pairs.
                "workers": 1,
                "log_every": 25,
                "checkpoint_every": 250,
                # Of each split, judged in both modes after the last step.
                "evaluation_pairs": 128,
                "seed": 0,
            },
            # The first and the last step of which a trace is written; none without.
            "profile": {"steps": ()},
        }
    )
