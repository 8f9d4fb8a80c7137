"""Attention: one entry, `attend`, whatever computes it.

Shape letters: B batch, T query time, S key time, N query heads, K key heads, G = N/K, H head size, L layers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Finite, so that a row without any visible key (padding) gives numbers that are thrown away, not NaN.
_MASKED = -1e30
# Queries of one block at least, and blocks at most: each is compiled by itself.
_BLOCK, _BLOCKS = 128, 8


class KVCache(NamedTuple):
    """Keys and values of all layers, [L, B, K, S, H]; the entry of a token stands at its position."""

    k: jax.Array
    v: jax.Array


def attend(
    q_BTNH: jax.Array,
    k_BKSH: jax.Array,
    v_BKSH: jax.Array,
    *,
    scale: float,
    query_index_BT: jax.Array | None = None,
    segments_BS: jax.Array | None = None,
    window: int | jax.Array | None = None,
    images_BS: jax.Array | None = None,
) -> jax.Array:
    """Causal grouped-query attention, softmax in float32.

    Args:
        query_index_BT: where each query stands on the key axis; None means T = S, one to one. A query sees the
            keys up to its own.
        segments_BS: packed sequences (T = S): a query sees keys of its own segment id alone.
        window: a query sees this many keys, itself included; a number, or an array of no axes.
        images_BS: on the key axis, which image a position belongs to, from 1, 0 for none: positions of one image
            see each other both ways, within segment and window.
    Returns:
        [B, T, N, H] in the dtype of q.
    """
    B, T, N, H = q_BTNH.shape
    K, S = k_BKSH.shape[1:3]
    # One batch of matrix products [G*T, H] x [H, S] for each sequence and key head: the layout that XLA is fast in.
    q_BKGTH = q_BTNH.reshape(B, T, K, N // K, H).transpose(0, 2, 3, 1, 4)
    index_S = jnp.arange(S, dtype=jnp.int32)
    index_BT = index_S[None, :T] if query_index_BT is None else query_index_BT
    own_image_BT = images_BS
    if images_BS is not None and query_index_BT is not None:
        own_image_BT = jnp.take_along_axis(images_BS, jnp.minimum(query_index_BT, S - 1), axis=1)

    def block(start: int, end: int, keys: int) -> jax.Array:
        """Queries start..end over the first `keys` keys: [B, K, G, end - start, H]."""
        query_BT = index_BT[:, start:end]
        distance_BTS = query_BT[:, :, None] - index_S[None, None, :keys]
        visible_BTS = distance_BTS >= 0
        if images_BS is not None and own_image_BT is not None:
            own_BT1 = own_image_BT[:, start:end, None]
            visible_BTS |= (own_BT1 == images_BS[:, None, :keys]) & (own_BT1 > 0)
        if window is not None:
            visible_BTS &= distance_BTS < window
        if segments_BS is not None:
            visible_BTS &= segments_BS[:, start:end, None] == segments_BS[:, None, :keys]
        q, k, v = q_BKGTH[:, :, :, start:end], k_BKSH[:, :, :keys], v_BKSH[:, :, :keys]
        rows = (B, K, (N // K) * (end - start))
        logits = jnp.einsum("BKRH,BKSH->BKRS", q.reshape(*rows, H), k, preferred_element_type=jnp.float32)
        logits = logits.reshape(B, K, N // K, end - start, keys) * scale
        logits = jnp.where(visible_BTS[:, None, None], logits, _MASKED)
        weights = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True)))
        out = jnp.einsum("BKRS,BKSH->BKRH", weights.astype(v.dtype).reshape(*rows, keys), v)
        # Dividing the result costs less than dividing the weights.
        total = jnp.sum(weights, axis=-1, keepdims=True)
        return (out.reshape(q.shape).astype(jnp.float32) / total).astype(q_BTNH.dtype)

    if query_index_BT is None:
        # What lies after a block's last query is never computed, unless an image may reach there.
        step = -(-T // (_BLOCK * _BLOCKS)) * _BLOCK
        ends = [(start, min(start + step, T)) for start in range(0, T, step)]
        out = jnp.concatenate([block(start, end, end if images_BS is None else S) for start, end in ends], axis=3)
    else:
        out = block(0, T, S)
    return out.transpose(0, 3, 1, 2, 4).reshape(B, T, N, H)


def write_cache(
    k_BKSH: jax.Array, v_BKSH: jax.Array, new_k_BKTH: jax.Array, new_v_BKTH: jax.Array, positions_BT: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One layer's keys and values with new ones at their positions; positions beyond S (padding) are dropped."""
    rows_B11 = jnp.arange(k_BKSH.shape[0])[:, None, None]
    heads_K1 = jnp.arange(k_BKSH.shape[1])[None, :, None]
    at = (rows_B11, heads_K1, positions_BT[:, None, :])
    return (
        k_BKSH.at[at].set(new_k_BKTH.astype(k_BKSH.dtype), mode="drop"),
        v_BKSH.at[at].set(new_v_BKTH.astype(v_BKSH.dtype), mode="drop"),
    )
