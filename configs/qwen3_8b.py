"""Fine-tune Qwen3-8B as a judge with LoRA, after "Beyond Scalar Scores" (arXiv 2606.18797).

Command:  reeval train --config=configs/qwen3_8b.py --workdir=DIR --config.model.path=QWEN3_8B_DIRECTORY \
              --config.data.train=PAIRS.jsonl
Hardware: four TPU v5e chips, or any mesh of TPUs or GPUs that the memory fits; not run on either yet
Memory:   by compilation without a TPU, of 17.18 GB a chip on v5e:2x2, the smallest slice of v5e that it fits:
          training step 8.67 GB, prefill 11.46 GB, decode 11.83 GB
          reeval plan --config=configs/qwen3_8b.py --config.model.path=QWEN3_8B_DIRECTORY --topology=v5e:2x2
Duration: not measured. A step of 8 x 2048 tokens is 5.4e14 FLOP at 4 per parameter and token, 750 steps 4.0e17; by the
          plan's roofline a step takes 0.94 s on v5e:2x2 at the least, by its FLOP.
Expected: not known: nobody has run it on the real weights and ReEvalMed yet. The paper reports D 78.5, R 70.5 for
          its trained Qwen3-8B in two passes.

The paper does not publish its hyperparameters; these follow the nearest public recipe (CRIMSON's LoRA script).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            # lora, or full: all weights of the decoder, and no word of "lora" counts; that takes float32.
            "tuning": "lora",
            "objective": "sft",
            "model": {"path": "checkpoints/Qwen3-8B", "dtype": "bfloat16", "quantized": "none"},
            "prompt": "clinical-2",
            # (data, fsdp, tensor); -1 takes all devices that are left.
            "mesh": (1, -1, 1),
            "lora": {
                "rank": 16,
                "alpha": 32.0,
                "rslora": False,
                "dropout": 0.05,
                "targets": r"self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj",
            },
            "data": {
                "train": "data/train.jsonl",
                "images": False,
                # Rows of several conversations; "shared": instructions once a row; "grouped": one a row.
                "batching": "packed",
                "sequence_length": 2048,
                "two_pass_share": 0.5,
                "severity_weight": 1.0,
            },
            "train": {
                # 4,000 pairs of about 1,100 tokens, two a row, for three epochs.
                "steps": 750,
                "batch_size": 8,
                "accumulation": 1,
                "learning_rate": 2e-5,
                "final_learning_rate": 0.0,
                "warmup_steps": 38,
                "weight_decay": 0.01,
                "clip_norm": 1.0,
                "b1": 0.9,
                "b2": 0.999,
                "remat": "full",
                # Of how many verdict tokens of a row logits exist at once.
                "loss_chunk": 256,
                # What computes attention: auto (by the mesh), xla, blockwise, splash or cudnn.
                "attention": "auto",
                "log_every": 5,
                "checkpoint_every": 50,
                "seed": 0,
            },
            # The first and the last step of which a trace is written; none without.
            "profile": {"steps": ()},
            "eval": {
                "pairs": "data/benchmark.jsonl",
                # A step of decoding needs all weights for few tokens: each device keeps its part and none is sent.
                "mesh": (1, 1, -1),
                "slots": 32,
                # Answers are held to the format; False shows what that costs or saves.
                "grammar": True,
                "max_prompt_tokens": 2048,
                "max_answer_tokens": 512,
                "base": True,
                # While it trains, after so many steps each time; 0: not at all.
                "every": 0,
            },
        }
    )
