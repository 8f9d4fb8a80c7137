"""Gemma 3's forward pass in NumPy, float64, head by head and position by position: nothing is shared with the port."""

from typing import Any

import numpy as np


def forward(
    raw: dict[str, Any], held: dict[str, np.ndarray], ids: np.ndarray, images: np.ndarray | None = None
) -> np.ndarray:
    """Logits [T, V] of one sequence [T], with images [I, C, S, S] for its image tokens or none."""
    w = {name: tensor.astype(np.float64) for name, tensor in held.items()}
    sizes = raw.get("text_config", raw)
    (before,) = (name.removesuffix("embed_tokens.weight") for name in w if name.endswith("embed_tokens.weight"))
    N, K, H = sizes["num_attention_heads"], sizes["num_key_value_heads"], sizes["head_dim"]
    kinds, ropes = _layers(sizes)
    is_image = np.zeros(len(ids), bool) if images is None else ids == raw["image_token_index"]
    # The image token may lie outside the vocabulary.
    x = w[before + "embed_tokens.weight"][np.where(is_image, 0, ids)] * np.sqrt(sizes["hidden_size"])
    if is_image.any():
        x[is_image] = np.concatenate([soft_tokens(raw, held, image) for image in images])[: is_image.sum()]
    # Runs of image tokens: whoever stands in one sees all of it.
    run = np.cumsum(is_image & ~np.concatenate([[False], is_image[:-1]])) * is_image

    def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + sizes["rms_norm_eps"]) * (1 + weight)

    for n, kind in enumerate(kinds):
        layer = {name.split(f"{before}layers.{n}.")[1]: t for name, t in w.items() if f"{before}layers.{n}." in name}
        theta, factor = ropes[kind]
        y = norm(x, layer["input_layernorm.weight"])
        heads = []
        for head in range(N):
            mine = slice(head * H, (head + 1) * H)
            shared = slice(head // (N // K) * H, (head // (N // K) + 1) * H)
            q = norm(y @ layer["self_attn.q_proj.weight"][mine].T, layer["self_attn.q_norm.weight"])
            k = norm(y @ layer["self_attn.k_proj.weight"][shared].T, layer["self_attn.k_norm.weight"])
            v = y @ layer["self_attn.v_proj.weight"][shared].T
            q, k = (np.stack([_rotate(row, t / factor, theta) for t, row in enumerate(m)]) for m in (q, k))
            out = []
            for t in range(len(ids)):
                seen = (np.arange(len(ids)) <= t) | ((run == run[t]) & (run[t] > 0))
                if kind == "sliding_attention":
                    seen &= np.arange(len(ids)) > t - sizes["sliding_window"]
                score = k[seen] @ q[t] / np.sqrt(sizes["query_pre_attn_scalar"])
                weight = np.exp(score - score.max())
                out.append(weight / weight.sum() @ v[seen])
            heads.append(np.stack(out))
        attended = np.concatenate(heads, -1) @ layer["self_attn.o_proj.weight"].T
        x = x + norm(attended, layer["post_attention_layernorm.weight"])
        y = norm(x, layer["pre_feedforward_layernorm.weight"])
        gate, up = y @ layer["mlp.gate_proj.weight"].T, y @ layer["mlp.up_proj.weight"].T
        x = x + norm((_gelu(gate) * up) @ layer["mlp.down_proj.weight"].T, layer["post_feedforward_layernorm.weight"])
    return norm(x, w[before + "norm.weight"]) @ w.get("lm_head.weight", w[before + "embed_tokens.weight"]).T


def soft_tokens(raw: dict[str, Any], held: dict[str, np.ndarray], image: np.ndarray) -> np.ndarray:
    """What stands in the decoder for one image [C, S, S]: [tokens, D]."""
    (before,) = (n.removesuffix("mm_soft_emb_norm.weight") for n in held if n.endswith("mm_soft_emb_norm.weight"))
    sizes, patches = raw["vision_config"], tower(raw, held, image)
    grid, side = sizes["image_size"] // sizes["patch_size"], int(raw["mm_tokens_per_image"] ** 0.5)
    pool = grid // side
    # From rows of patches to squares of them.
    pooled = patches.reshape(side, pool, side, pool, -1).mean((1, 3)).reshape(side * side, -1)
    normed = pooled / np.sqrt((pooled**2).mean(-1, keepdims=True) + sizes["layer_norm_eps"])
    normed = normed * (1 + held[before + "mm_soft_emb_norm.weight"].astype(np.float64))
    return normed @ held[before + "mm_input_projection_weight"].astype(np.float64)


def tower(raw: dict[str, Any], held: dict[str, np.ndarray], image: np.ndarray) -> np.ndarray:
    """The vision tower's output for one image [C, S, S]: [patches, D]."""
    marker = "embeddings.patch_embedding.weight"
    (before,) = (name.removesuffix(marker) for name in held if name.endswith(marker))
    w = {name.removeprefix(before): t.astype(np.float64) for name, t in held.items() if name.startswith(before)}
    sizes = raw["vision_config"]
    P, N = sizes["patch_size"], sizes["num_attention_heads"]
    grid, H = sizes["image_size"] // P, sizes["hidden_size"] // N

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        return (
            x / np.sqrt((x * x).mean(-1, keepdims=True) + sizes["layer_norm_eps"]) * w[f"{name}.weight"]
            + w[f"{name}.bias"]
        )

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    cut = [image[:, i * P : (i + 1) * P, j * P : (j + 1) * P].reshape(-1) for i in range(grid) for j in range(grid)]
    kernel = w["embeddings.patch_embedding.weight"].reshape(sizes["hidden_size"], -1)
    x = np.stack(cut) @ kernel.T + w["embeddings.patch_embedding.bias"] + w["embeddings.position_embedding.weight"]
    for n in range(sizes["num_hidden_layers"]):
        layer = f"encoder.layers.{n}"
        y = norm(x, f"{layer}.layer_norm1")
        q, k, v = (linear(y, f"{layer}.self_attn.{name}_proj") for name in "qkv")
        heads = []
        for head in (slice(i * H, (i + 1) * H) for i in range(N)):
            score = q[:, head] @ k[:, head].T / np.sqrt(H)
            weight = np.exp(score - score.max(-1, keepdims=True))
            heads.append(weight / weight.sum(-1, keepdims=True) @ v[:, head])
        x = x + linear(np.concatenate(heads, -1), f"{layer}.self_attn.out_proj")
        y = norm(x, f"{layer}.layer_norm2")
        x = x + linear(_gelu(linear(y, f"{layer}.mlp.fc1")), f"{layer}.mlp.fc2")
    return norm(x, "post_layernorm")


def _layers(sizes: dict[str, Any]) -> tuple[list[str], dict[str, tuple[float, float]]]:
    """The kind of each layer, and of each kind theta and the factor that positions are divided by."""
    pattern = sizes.get("sliding_window_pattern", 6)
    counted = range(1, sizes["num_hidden_layers"] + 1)
    kinds = sizes.get("layer_types", [f"{'sliding' if n % pattern else 'full'}_attention" for n in counted])
    if "rope_parameters" in sizes:
        return kinds, {k: (rope["rope_theta"], rope.get("factor", 1.0)) for k, rope in sizes["rope_parameters"].items()}
    factor = (sizes["rope_scaling"] or {"factor": 1.0})["factor"]
    return kinds, {
        "full_attention": (sizes["rope_theta"], factor),
        "sliding_attention": (sizes["rope_local_base_freq"], 1.0),
    }


def _rotate(x: np.ndarray, position: float, theta: float) -> np.ndarray:
    half = len(x) // 2
    angle = position / theta ** (np.arange(half) / half)
    turned = (x[:half] + 1j * x[half:]) * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag])


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
