"""Small random Gemma 3 checkpoints of odd shapes, text-only and multimodal, as each writer of them spells them.

Names and shapes are written out here once more, so that the table in `reeval.hf.gemma3` is checked by them. The plain
forward pass to hold the port against stands in `naive_gemma3`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from naive_gemma3 import forward, soft_tokens
from random_qwen3 import BFLOAT16, Raw, Tensors, relative, write

__all__ = [
    "BFLOAT16", "MODULES", "SHAPES", "SPARSE_4B", "V4", "V5", "checkpoint", "forward", "pixels", "relative",
    "soft_tokens", "spelling", "tensors", "text", "tokens", "with_images", "write",
]  # fmt: skip


class Spelling(NamedTuple):
    """What stands before the names of the three parts, and of an untied head."""

    decoder: str
    vision: str = ""
    projector: str = ""


TEXT = Spelling("model.")
V4 = Spelling("language_model.model.", "vision_tower.vision_model.", "multi_modal_projector.")
V5 = Spelling("language_model.model.", "vision_tower.", "multi_modal_projector.")
# The modules' own names, which a bare `model.state_dict()` has.
MODULES = Spelling("model.language_model.", "model.vision_tower.", "model.multi_modal_projector.")


def _text(sizes: tuple[int, int, int, int, int, int, int], **rest: Any) -> Raw:
    vocab, model, hidden, layers, heads, kv_heads, head_dim = sizes
    return {
        "model_type": "gemma3_text",
        "vocab_size": vocab,
        "hidden_size": model,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-5,
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "max_position_embeddings": 512,
        **rest,
    }


def _vision(sizes: tuple[int, int, int, int], image: int, patch: int, *, head: bool) -> Raw:
    model, hidden, layers, heads = sizes
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": model,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_channels": 3,
        "image_size": image,
        "patch_size": patch,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "vision_use_head": head,
    }


def _whole(version: str | None, text: Raw, vision: Raw, tokens_per_image: int) -> Raw:
    vocab = text["vocab_size"]
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "boi_token_index": vocab - 3,
        "eoi_token_index": vocab - 2,
        "image_token_index": vocab - 1,
        "mm_tokens_per_image": tokens_per_image,
        "text_config": text,
        "vision_config": vision,
        **({"transformers_version": version} if version else {}),
    }


def _ropes(full: float, local: float, factor: float | None = None) -> Raw:
    """As transformers 5 writes them."""
    scaled = {"rope_type": "default"} if factor is None else {"rope_type": "linear", "factor": factor}
    return {
        "full_attention": {**scaled, "rope_theta": full},
        "sliding_attention": {"rope_type": "default", "rope_theta": local},
    }


_KINDS = {"l": "sliding_attention", "g": "full_attention"}

# Query heads to key heads 1, 2 and 4; the head size is never D / N, the query scale never from the head size, and the
# window mostly shorter than the sequences; layers never end with their pattern; each way to write rope and windows.
SHAPES: dict[str, Raw] = {
    "text-ratio1-v4": _text(
        (61, 24, 40, 7, 3, 3, 10),
        architectures=["Gemma3ForCausalLM"],
        query_pre_attn_scalar=7,
        sliding_window=5,
        rope_theta=20000.0,
        rope_local_base_freq=300.0,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    ),
    "text-ratio4-untied-v5": _text(
        (68, 32, 88, 5, 8, 2, 6),
        architectures=["Gemma3ForCausalLM"],
        query_pre_attn_scalar=11,
        sliding_window=3,
        layer_types=[_KINDS[kind] for kind in "gllgl"],
        rope_parameters=_ropes(5000.0, 100.0, 3.0),
        tie_word_embeddings=False,
    ),
    "ratio2-v4": _whole(
        "4.50.0",
        _text(
            (101, 40, 56, 4, 4, 2, 16),
            query_pre_attn_scalar=5,
            sliding_window=9,
            sliding_window_pattern=3,
            rope_theta=1e6,
            rope_local_base_freq=1e4,
            rope_scaling=None,
        ),
        _vision((20, 28, 2, 5), 12, 3, head=False),
        tokens_per_image=4,
    ),
    # An image has more tokens than the window has.
    "ratio4-v5": _whole(
        "5.23.0",
        _text(
            (83, 24, 40, 7, 4, 1, 14),
            query_pre_attn_scalar=9,
            sliding_window=5,
            layer_types=[_KINDS[kind] for kind in "lllllgl"],
            rope_parameters=_ropes(1e5, 500.0, 2.0),
        ),
        _vision((18, 26, 3, 3), 24, 4, head=True),
        tokens_per_image=9,
    ),
    # Nothing is pooled, the window never ends, and the last pixels of a side make no patch.
    "ratio1-modules": _whole(
        None,
        _text(
            (57, 16, 40, 3, 2, 2, 6),
            query_pre_attn_scalar=13,
            sliding_window=4096,
            layer_types=[_KINDS[kind] for kind in "glg"],
            rope_parameters=_ropes(1e4, 1e3),
        ),
        _vision((8, 20, 1, 1), 11, 5, head=False),
        tokens_per_image=4,
    ),
}
MULTIMODAL = [name for name, raw in SHAPES.items() if "vision_config" in raw]

# What google/gemma-3-4b-it's config.json says; the rest is left to transformers' defaults.
SPARSE_4B: Raw = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999,
    "eoi_token_index": 256000,
    "eos_token_id": [1, 106],
    "image_token_index": 262144,
    "initializer_range": 0.02,
    "mm_tokens_per_image": 256,
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0",
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 896,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
        "vision_use_head": False,
    },
}


def text(raw: Raw) -> Raw:
    """The decoder's part of a config."""
    return raw.get("text_config", raw)


def spelling(raw: Raw) -> Spelling:
    """How the writer of a config names tensors."""
    if "vision_config" not in raw:
        return TEXT
    return {"4": V4, "5": V5, "": MODULES}[raw.get("transformers_version", "")[:1]]


def tensors(raw: Raw, *, seed: int = 0, spelled: Spelling | None = None) -> Tensors:
    """Weights large enough that attention is far from uniform; the `w` of norms by 1 + w around 0."""
    noise = np.random.default_rng(seed)
    at = spelled or spelling(raw)
    sizes = text(raw)
    V, D, F = sizes["vocab_size"], sizes["hidden_size"], sizes["intermediate_size"]
    N, K, H = sizes["num_attention_heads"], sizes["num_key_value_heads"], sizes["head_dim"]

    def matrix(*shape: int) -> np.ndarray:
        return (noise.normal(size=shape) * 1.2 / shape[-1] ** 0.5).astype(np.float32)

    def norm(size: int) -> np.ndarray:
        return noise.uniform(-0.5, 0.5, size).astype(np.float32)

    made = {f"{at.decoder}embed_tokens.weight": matrix(V, D)}
    for n in range(sizes["num_hidden_layers"]):
        layer = f"{at.decoder}layers.{n}"
        made |= {
            f"{layer}.input_layernorm.weight": norm(D),
            f"{layer}.self_attn.q_proj.weight": matrix(N * H, D),
            f"{layer}.self_attn.k_proj.weight": matrix(K * H, D),
            f"{layer}.self_attn.v_proj.weight": matrix(K * H, D),
            f"{layer}.self_attn.o_proj.weight": matrix(D, N * H),
            f"{layer}.self_attn.q_norm.weight": norm(H),
            f"{layer}.self_attn.k_norm.weight": norm(H),
            f"{layer}.post_attention_layernorm.weight": norm(D),
            f"{layer}.pre_feedforward_layernorm.weight": norm(D),
            f"{layer}.mlp.gate_proj.weight": matrix(F, D),
            f"{layer}.mlp.up_proj.weight": matrix(F, D),
            f"{layer}.mlp.down_proj.weight": matrix(D, F),
            f"{layer}.post_feedforward_layernorm.weight": norm(D),
        }
    made[f"{at.decoder}norm.weight"] = norm(D)
    if not sizes.get("tie_word_embeddings", True):
        made["lm_head.weight"] = matrix(V, D)
    if "vision_config" in raw:
        made |= _vision_tensors(raw, at, noise)
    return made


def _vision_tensors(raw: Raw, at: Spelling, noise: np.random.Generator) -> Tensors:
    sizes = raw["vision_config"]
    D, F, C, P = (sizes[name] for name in ("hidden_size", "intermediate_size", "num_channels", "patch_size"))

    def linear(name: str, rows: int, columns: int) -> Tensors:
        weight = noise.normal(size=(rows, columns)) * 1.2 / columns**0.5
        return {f"{name}.weight": weight, f"{name}.bias": noise.normal(size=rows) * 0.3}

    def norm(name: str) -> Tensors:
        return {f"{name}.weight": noise.uniform(0.5, 1.5, D), f"{name}.bias": noise.normal(size=D) * 0.3}

    vision: Tensors = {
        "embeddings.patch_embedding.weight": noise.normal(size=(D, C, P, P)) / (C * P * P) ** 0.5,
        "embeddings.patch_embedding.bias": noise.normal(size=D) * 0.3,
        "embeddings.position_embedding.weight": noise.normal(size=((sizes["image_size"] // P) ** 2, D)) * 0.5,
        **norm("post_layernorm"),
    }
    for n in range(sizes["num_hidden_layers"]):
        layer = f"encoder.layers.{n}"
        vision |= norm(f"{layer}.layer_norm1") | norm(f"{layer}.layer_norm2")
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            vision |= linear(f"{layer}.self_attn.{name}", D, D)
        vision |= linear(f"{layer}.mlp.fc1", F, D) | linear(f"{layer}.mlp.fc2", D, F)
    if sizes["vision_use_head"]:  # not used by Gemma 3
        vision |= {
            "head.probe": noise.normal(size=(1, 1, D)),
            "head.attention.in_proj_weight": noise.normal(size=(3 * D, D)),
            "head.attention.in_proj_bias": noise.normal(size=3 * D),
            **linear("head.attention.out_proj", D, D),
            **norm("head.layernorm"),
            **linear("head.mlp.fc1", F, D),
            **linear("head.mlp.fc2", D, F),
        }
    width = text(raw)["hidden_size"]
    made = {at.vision + name: tensor for name, tensor in vision.items()} | {
        # As x @ w, the other way round than a linear layer.
        f"{at.projector}mm_input_projection_weight": noise.normal(size=(D, width)) * 1.2 / D**0.5,
        f"{at.projector}mm_soft_emb_norm.weight": noise.uniform(-0.5, 0.5, D),
    }
    return {name: tensor.astype(np.float32) for name, tensor in made.items()}


def checkpoint(directory: Path, shape: str, *, seed: int = 0, **kwargs: Any) -> Path:
    """A checkpoint directory of one of `SHAPES`."""
    return write(directory, SHAPES[shape], tensors(SHAPES[shape], seed=seed), **kwargs)


def tokens(raw: Raw, batch: int, length: int, *, seed: int = 1) -> np.ndarray:
    """[B, T] int32, none of them one that stands for an image or its ends."""
    return np.random.default_rng(seed).integers(0, text(raw)["vocab_size"] - 3, (batch, length)).astype(np.int32)


def pixels(raw: Raw, *leading: int, seed: int = 2) -> np.ndarray:
    """[..., C, S, S] float32 in -1 to 1, as the processor gives them."""
    sizes = raw["vision_config"]
    shape = (*leading, sizes["num_channels"], sizes["image_size"], sizes["image_size"])
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def with_images(raw: Raw, counts: list[int], length: int, *, seed: int = 1) -> np.ndarray:
    """[B, T] int32: text in which row b has `counts[b]` images, each between its ends, with text before and after."""
    rows = tokens(raw, len(counts), length, seed=seed)
    n = raw["mm_tokens_per_image"]
    image = [raw["boi_token_index"], *[raw["image_token_index"]] * n, raw["eoi_token_index"]]
    for row, count in zip(rows, counts, strict=True):
        for i in range(count):
            start = 2 + i * (n + 5)
            row[start : start + n + 2] = image
    return rows
