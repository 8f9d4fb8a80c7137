"""Small random Qwen3 checkpoints of odd shapes, and a plain NumPy forward pass to hold the port against.

Names and shapes are written out here once more, so that the table in `reeval.hf.qwen3` is checked by them.
"""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

Raw = dict[str, Any]
Tensors = dict[str, np.ndarray]


def _raw(sizes: tuple[int, int, int, int, int, int, int], tied: bool, **rope: Any) -> Raw:
    vocab, model, hidden, layers, heads, kv_heads, head_dim = sizes
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": vocab,
        "hidden_size": model,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": tied,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": None,
        "max_position_embeddings": 512,
        **rope,
    }


# Query heads to key heads 1, 3 and 4; the head size is never D / N; theta in the old and the new spelling.
SHAPES: dict[str, Raw] = {
    "ratio1-untied-v4": _raw((61, 24, 40, 2, 3, 3, 10), False, rope_theta=20000.0, rope_scaling=None),
    "ratio3-tied-v5": _raw(
        (101, 40, 56, 3, 6, 2, 14), True, rope_parameters={"rope_type": "default", "rope_theta": 1e6}
    ),
    "ratio4-untied-v5": _raw(
        (68, 32, 88, 2, 8, 2, 6), False, rope_parameters={"rope_type": "default", "rope_theta": 500.0}
    ),
    "ratio4-tied-v4": _raw((83, 24, 40, 4, 4, 1, 16), True, rope_theta=1e5),
}


def text(raw: Raw) -> Raw:
    """The decoder's part of a config: all of it."""
    return raw


def tensors(raw: Raw, *, seed: int = 0) -> Tensors:
    """Weights large enough that attention is far from uniform; norms around 1."""
    noise = np.random.default_rng(seed)
    V, D, F = raw["vocab_size"], raw["hidden_size"], raw["intermediate_size"]
    N, K, H = raw["num_attention_heads"], raw["num_key_value_heads"], raw["head_dim"]

    def matrix(*shape: int) -> np.ndarray:
        return (noise.normal(size=shape) * 1.2 / shape[-1] ** 0.5).astype(np.float32)

    def norm(size: int) -> np.ndarray:
        return noise.uniform(0.5, 1.5, size).astype(np.float32)

    made = {"model.embed_tokens.weight": matrix(V, D)}
    for n in range(raw["num_hidden_layers"]):
        layer = f"model.layers.{n}"
        made |= {
            f"{layer}.input_layernorm.weight": norm(D),
            f"{layer}.self_attn.q_proj.weight": matrix(N * H, D),
            f"{layer}.self_attn.k_proj.weight": matrix(K * H, D),
            f"{layer}.self_attn.v_proj.weight": matrix(K * H, D),
            f"{layer}.self_attn.o_proj.weight": matrix(D, N * H),
            f"{layer}.self_attn.q_norm.weight": norm(H),
            f"{layer}.self_attn.k_norm.weight": norm(H),
            f"{layer}.post_attention_layernorm.weight": norm(D),
            f"{layer}.mlp.gate_proj.weight": matrix(F, D),
            f"{layer}.mlp.up_proj.weight": matrix(F, D),
            f"{layer}.mlp.down_proj.weight": matrix(D, F),
        }
    made["model.norm.weight"] = norm(D)
    if not raw["tie_word_embeddings"]:
        made["lm_head.weight"] = matrix(V, D)
    return made


def write(directory: Path, raw: Raw, held: Tensors, *, dtype: Any = np.float32, files: int = 1) -> Path:
    """A checkpoint directory; its tensors dealt out over `files` files, with an index if they are several."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(raw))
    cast = {name: tensor.astype(dtype) for name, tensor in held.items()}
    if files == 1:
        save_file(cast, directory / "model.safetensors", metadata={"format": "pt"})
        return directory
    weight_map = {}
    for n in range(files):
        part = {name: tensor for i, (name, tensor) in enumerate(cast.items()) if i % files == n}
        file = f"model-{n + 1:05d}-of-{files:05d}.safetensors"
        save_file(part, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return directory


def checkpoint(directory: Path, shape: str, *, seed: int = 0, **kwargs: Any) -> Path:
    """A checkpoint directory of one of `SHAPES`."""
    return write(directory, SHAPES[shape], tensors(SHAPES[shape], seed=seed), **kwargs)


def tokens(raw: Raw, batch: int, length: int, *, seed: int = 1) -> np.ndarray:
    """[B, T] int32."""
    return np.random.default_rng(seed).integers(0, raw["vocab_size"], (batch, length)).astype(np.int32)


def forward(raw: Raw, held: Tensors, ids: np.ndarray) -> np.ndarray:
    """Logits [T, V] of one sequence [T], in float64, head by head and position by position."""
    w = {name: tensor.astype(np.float64) for name, tensor in held.items()}
    N, K, H = raw["num_attention_heads"], raw["num_key_value_heads"], raw["head_dim"]
    theta = raw["rope_theta"] if "rope_theta" in raw else raw["rope_parameters"]["rope_theta"]

    def norm(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + raw["rms_norm_eps"]) * scale

    def rotate(x: np.ndarray, position: int) -> np.ndarray:
        angle = position / theta ** (np.arange(H // 2) * 2.0 / H)
        turned = (x[: H // 2] + 1j * x[H // 2 :]) * np.exp(1j * angle)
        return np.concatenate([turned.real, turned.imag])

    x = w["model.embed_tokens.weight"][ids]
    for n in range(raw["num_hidden_layers"]):
        layer = {name.split(f"layers.{n}.")[1]: t for name, t in w.items() if f"layers.{n}." in name}
        y = norm(x, layer["input_layernorm.weight"])
        heads = []
        for head in range(N):
            mine, shared = (
                slice(head * H, (head + 1) * H),
                slice(head // (N // K) * H, (head // (N // K) + 1) * H),
            )
            q = norm(y @ layer["self_attn.q_proj.weight"][mine].T, layer["self_attn.q_norm.weight"])
            k = norm(y @ layer["self_attn.k_proj.weight"][shared].T, layer["self_attn.k_norm.weight"])
            v = y @ layer["self_attn.v_proj.weight"][shared].T
            q, k = (np.stack([rotate(row, t) for t, row in enumerate(m)]) for m in (q, k))
            out = []
            for t in range(len(ids)):
                score = k[: t + 1] @ q[t] / np.sqrt(H)
                weight = np.exp(score - score.max())
                out.append(weight / weight.sum() @ v[: t + 1])
            heads.append(np.stack(out))
        x = x + np.concatenate(heads, -1) @ layer["self_attn.o_proj.weight"].T
        y = norm(x, layer["post_attention_layernorm.weight"])
        gate, up = y @ layer["mlp.gate_proj.weight"].T, y @ layer["mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ layer["mlp.down_proj.weight"].T
    return norm(x, w["model.norm.weight"]) @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def relative(ours: Any, theirs: Any) -> float:
    """The largest difference as a share of the largest value."""
    return float(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs)).max() / np.abs(np.asarray(theirs)).max())


BFLOAT16 = ml_dtypes.bfloat16
