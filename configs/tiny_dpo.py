"""Preference training (DPO) of the quickstart's judge, on verdicts that are better and worse.

Command:  bash launch/tiny_dpo.sh
Hardware: any CPU; measured on two cores
Memory:   not measured on a CPU; on the smallest TPU, of 17.18 GB, by compilation: training step 0.90 GB, prefill
          0.11 GB, decode 0.12 GB
          reeval plan --config=configs/tiny_dpo.py --topology=v5e:1x1
Duration: 8 3/4 minutes on cores that had other work too, of which 6 are what one core was busy
Expected: D-R on held-out pairs from -1.5 to 0.0 in one pass and from -5.5 to -2.5 in two; (D+R)/2 from 88.8 to 89.0 and
          from 89.8 to 89.2, n 200 + 200, both within chance; docs/results.md has more pairs and three seeds
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            # lora, or full: all weights of the decoder, and no word of "lora" counts; that takes float32.
            "tuning": "lora",
            "objective": "dpo",
            # The run whose judge this one starts from, which is the reference, too.
            "start": "runs/quickstart",
            "model": {"path": "embedded", "dtype": "float32", "quantized": "none"},
            "prompt": "compact-1",
            "mesh": (-1, 1, 1),
            "lora": {
                "rank": 16,
                "alpha": 32.0,
                "rslora": False,
                "dropout": 0.0,
                "targets": r"self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj",
            },
            "data": {
                "train": "runs/tiny_dpo/pairs.jsonl",
                "images": False,
                # Of pairs in `train`, by `reeval prefs`.
                "preferences": "runs/tiny_dpo/preferences.jsonl",
                "sequence_length": 960,
            },
            "preference": {
                # sigmoid, robust or ipo; see reeval/train/preference.py.
                "kind": "sigmoid",
                "beta": 0.5,
                "label_smoothing": 0.0,
                "length_normalised": False,
                # Of the chosen verdict's own negative log-probability.
                "sft_weight": 0.0,
            },
            "train": {
                "steps": 200,
                "batch_size": 8,
                "accumulation": 1,
                "learning_rate": 2e-4,
                "final_learning_rate": 0.0,
                "warmup_steps": 20,
                "weight_decay": 0.0,
                "clip_norm": 1.0,
                "b1": 0.9,
                "b2": 0.99,
                "remat": "none",
                # Of how many verdict tokens of a row logits exist at once.
                "loss_chunk": 64,
                # What computes attention: auto (by the mesh), xla, blockwise, splash or cudnn.
                "attention": "auto",
                "log_every": 10,
                "checkpoint_every": 100,
                "seed": 0,
            },
            # The first and the last step of which a trace is written; none without.
            "profile": {"steps": ()},
            "eval": {
                "pairs": "runs/quickstart/heldout.jsonl",
                "mesh": (-1, 1, 1),
                "slots": 64,
                # Answers are held to the format; False shows what that costs or saves.
                "grammar": True,
                "max_prompt_tokens": 384,
                "max_answer_tokens": 160,
                "base": True,
                # While it trains, after so many steps each time; 0: not at all.
                "every": 0,
            },
        }
    )
