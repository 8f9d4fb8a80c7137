"""The exact shapes of Qwen3-8B and MedGemma-4B as Hugging Face directories have them, and random weights for them.

Names and shapes are written out here once more, so that the tables in `reeval.hf` are checked by them. MedGemma's are
those that transformers 4 writes.
"""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from reeval.hf import weights

Raw = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]

MODELS: dict[str, Raw] = {
    "qwen3_8b": {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "use_sliding_window": False,
        "max_position_embeddings": 40960,
        "torch_dtype": "bfloat16",
    },
    "medgemma_4b": {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "boi_token_index": 255999,
        "eoi_token_index": 256000,
        "image_token_index": 262144,
        "mm_tokens_per_image": 256,
        "torch_dtype": "bfloat16",
        "text_config": {
            "model_type": "gemma3_text",
            "vocab_size": 262208,
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 34,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "hidden_activation": "gelu_pytorch_tanh",
            "query_pre_attn_scalar": 256,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
            "sliding_window_pattern": 6,
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "image_size": 896,
            "patch_size": 14,
            "num_channels": 3,
            "vision_use_head": False,
        },
    },
}
# The sizes of files that these models are published in: five files and two.
SHARD_BYTES = {"qwen3_8b": 4 * 10**9, "medgemma_4b": 5 * 10**9}
_POOL = 2**24 + 43


def scaled(raw: Raw, scale: float) -> Raw:
    """The config of a model of about `scale` times the bytes, each part's share of them kept.

    Widths shrink by s^0.3, so that neither they nor the number of layers become silly; vocabulary and layers make up
    for the rest. Head sizes stay.
    """
    if scale == 1:
        return raw
    width = scale**0.3
    made = {name: scaled(value, scale) if name.endswith("_config") else value for name, value in raw.items()}
    if "hidden_size" not in raw:
        vocabulary = made["text_config"]["vocab_size"]
        return made | {"image_token_index": vocabulary - 1, "boi_token_index": 3, "eoi_token_index": 4}
    groups = max(1, round(raw.get("num_key_value_heads", raw["num_attention_heads"]) * width))
    heads = groups * (raw["num_attention_heads"] // raw.get("num_key_value_heads", raw["num_attention_heads"]))
    head_dim = raw.get("head_dim", raw["hidden_size"] // raw["num_attention_heads"])
    made |= {
        "hidden_size": round(raw["hidden_size"] * width / 64) * 64 if "head_dim" in raw else heads * head_dim,
        "intermediate_size": round(raw["intermediate_size"] * width / 16) * 16,
        "num_hidden_layers": max(1, round(raw["num_hidden_layers"] * scale / width**2)),
        "num_attention_heads": heads,
    }
    if "vocab_size" in raw:
        made |= {"num_key_value_heads": groups, "vocab_size": round(raw["vocab_size"] * scale / width)}
    return made


def shapes(raw: Raw) -> Shapes:
    """Each tensor's name and shape."""
    if raw["model_type"] == "qwen3":
        made = _decoder(raw, "model.", ("input_layernorm", "post_attention_layernorm"))
        return made | {"lm_head.weight": (raw["vocab_size"], raw["hidden_size"])}
    text, vision = raw["text_config"], raw["vision_config"]
    E, F, tower = vision["hidden_size"], vision["intermediate_size"], "vision_tower.vision_model."
    patch, patches = vision["patch_size"], (vision["image_size"] // vision["patch_size"]) ** 2
    made = {
        f"{tower}embeddings.patch_embedding.weight": (E, vision["num_channels"], patch, patch),
        f"{tower}embeddings.patch_embedding.bias": (E,),
        f"{tower}embeddings.position_embedding.weight": (patches, E),
    }
    for n in range(vision["num_hidden_layers"]):
        sides = {f"self_attn.{part}_proj": (E, E) for part in ("q", "k", "v", "out")}
        for name, shape in (
            sides | {"mlp.fc1": (F, E), "mlp.fc2": (E, F), "layer_norm1": (E,), "layer_norm2": (E,)}
        ).items():
            made[f"{tower}encoder.layers.{n}.{name}.weight"] = shape
            made[f"{tower}encoder.layers.{n}.{name}.bias"] = shape[:1]
    made |= {f"{tower}post_layernorm.weight": (E,), f"{tower}post_layernorm.bias": (E,)}
    made |= {
        "multi_modal_projector.mm_input_projection_weight": (E, text["hidden_size"]),
        "multi_modal_projector.mm_soft_emb_norm.weight": (E,),
    }
    norms = ("input", "post_attention", "pre_feedforward", "post_feedforward")
    return made | _decoder(text, "language_model.model.", tuple(f"{name}_layernorm" for name in norms))


def _decoder(raw: Raw, prefix: str, norms: tuple[str, ...]) -> Shapes:
    D, F, H = raw["hidden_size"], raw["intermediate_size"], raw["head_dim"]
    N, K = raw["num_attention_heads"], raw["num_key_value_heads"]
    made: Shapes = {f"{prefix}embed_tokens.weight": (raw["vocab_size"], D)}
    for n in range(raw["num_hidden_layers"]):
        layer = dict.fromkeys(norms, (D,)) | {
            "self_attn.q_proj": (N * H, D),
            "self_attn.k_proj": (K * H, D),
            "self_attn.v_proj": (K * H, D),
            "self_attn.o_proj": (D, N * H),
            "self_attn.q_norm": (H,),
            "self_attn.k_norm": (H,),
            "mlp.gate_proj": (F, D),
            "mlp.up_proj": (F, D),
            "mlp.down_proj": (D, F),
        }
        made |= {f"{prefix}layers.{n}.{name}.weight": shape for name, shape in layer.items()}
    return made | {f"{prefix}norm.weight": (D,)}


def write(directory: Path, model: str, scale: float = 1.0) -> int:
    """A directory of random bfloat16 weights; gives their bytes. No more than one tensor is in memory.

    Matrices are within about 0.02 of zero; the scales of norms within as much of one, or of zero where the model adds
    one. All come from one pool of random numbers, each from a place of its own.
    """
    raw = scaled(MODELS[model], scale)
    pool = (np.random.default_rng(0).standard_normal(_POOL, np.float32) * 0.02).astype(ml_dtypes.bfloat16)

    def read(name: str) -> np.ndarray:
        shape = wanted[name].shape
        made = np.empty(math.prod(shape), ml_dtypes.bfloat16)
        at = zlib.crc32(name.encode()) % pool.size
        for start in range(0, made.size, pool.size):
            part = made[start : start + pool.size]
            first = min(part.size, pool.size - at)
            part[:first], part[first:] = pool[at : at + first], pool[: part.size - first]
        plain = model == "qwen3_8b" or "layer_norm" in name or "post_layernorm" in name
        if plain and len(shape) == 1 and name.endswith(".weight"):
            made = (made.astype(np.float32) + 1).astype(ml_dtypes.bfloat16)
        return made.reshape(shape)

    wanted = {name: weights.Tensor(Path(), shape, np.dtype(ml_dtypes.bfloat16)) for name, shape in shapes(raw).items()}
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(raw, indent=2))
    weights.write(directory, wanted, read, int(SHARD_BYTES[model] * scale))
    return sum(tensor.nbytes for tensor in wanted.values())
