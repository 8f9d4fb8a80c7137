"""Fine-tune the embedded judge on pairs of generated reports: the whole pipeline on a laptop, with no download.

Command:  bash launch/quickstart.sh
Hardware: any CPU; measured on two cores (jax 0.10.2, Python 3.11)
Memory:   1.4 GB with rows of 256; those of 480 were not measured. On the smallest TPU, of 17.18 GB, by compilation:
          training step 0.27 GB, prefill 0.11 GB, decode 0.12 GB
          reeval plan --config=configs/tiny.py --topology=v5e:1x1
Duration: 6 1/2 minutes with the environment, on cores that had other work too
Expected: (D+R)/2 on held-out pairs from 56.5 to 88.8 in one pass and from 57.0 to 89.8 in two, n 200 + 200
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            # lora, or full: all weights of the decoder, and no word of "lora" counts; that takes float32.
            "tuning": "lora",
            "objective": "sft",
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
                "train": "runs/quickstart/train.jsonl",
                "images": False,
                # Rows of several conversations; "shared": instructions once a row; "grouped": one a row.
                "batching": "packed",
                "sequence_length": 480,
                "two_pass_share": 0.5,
                "severity_weight": 20.0,
            },
            "train": {
                "steps": 640,
                "batch_size": 8,
                "accumulation": 1,
                "learning_rate": 4e-3,
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
