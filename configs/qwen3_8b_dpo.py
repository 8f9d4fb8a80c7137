"""Preference training (DPO) of Qwen3-8B after supervised fine-tuning, after "Beyond Scalar Scores" (arXiv 2606.18797).

Command:  reeval prefs --workdir=runs/sft --out=PREFERENCES.jsonl
          reeval train --config=configs/qwen3_8b_dpo.py --workdir=DIR --config.start=runs/sft \
              --config.model.path=QWEN3_8B_DIRECTORY --config.data.train=PAIRS.jsonl \
              --config.data.preferences=PREFERENCES.jsonl
Hardware: four TPU v5e chips, or any mesh of TPUs or GPUs that the memory fits; not run on either yet
Memory:   by compilation without a TPU, of 17.18 GB a chip on v5e:2x2, the smallest slice of v5e that it fits:
          training step 9.93 GB, prefill 11.46 GB, decode 11.83 GB
          reeval plan --config=configs/qwen3_8b_dpo.py --config.model.path=QWEN3_8B_DIRECTORY --topology=v5e:2x2
Duration: not measured. A step of 8 x 2304 tokens is 6.0e14 FLOP at 4 per parameter and token, 330 steps 2.0e17; by the
          plan's roofline a step takes 0.98 s on v5e:2x2 at the least, by its FLOP. The reference takes once a third of
          what one pass over the preferences does: it has no backward pass.
Expected: not known: nobody has run it on the real weights and ReEvalMed yet. The paper reports D 78.5, R 70.5 for
          its trained Qwen3-8B in two passes.

The paper does not publish its hyperparameters; beta is that of DPO's own authors, the rate a quarter of the first
stage's. The section "lora" has to be the first stage's; of its dropout there is none here, as of the reference's.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            # lora, or full: all weights of the decoder, and no word of "lora" counts; that takes float32.
            "tuning": "lora",
            "objective": "dpo",
            # The run whose judge this one starts from, which is the reference, too.
            "start": "runs/sft",
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
                # Of pairs in `train`, by `reeval prefs`.
                "preferences": "data/preferences.jsonl",
                # Of the shipped pairs three fill a row; 2048 tokens hold two, and 11 % of them are padding.
                "sequence_length": 2304,
            },
            "preference": {
                # sigmoid, robust or ipo; see reeval/train/preference.py.
                "kind": "sigmoid",
                "beta": 0.1,
                "label_smoothing": 0.0,
                "length_normalised": False,
                # Of the chosen verdict's own negative log-probability.
                "sft_weight": 0.0,
            },
            "train": {
                # 8,000 preferences, about three a row, once.
                "steps": 330,
                "batch_size": 8,
                "accumulation": 1,
                "learning_rate": 5e-6,
                "final_learning_rate": 0.0,
                "warmup_steps": 17,
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
