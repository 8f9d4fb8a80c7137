"""Attention: one entry, `attend`, whatever computes it.

Shape letters: B batch, T query time, S key time, N query heads, K key heads, G = N/K, H head size, L layers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Finite, so that a row without any visible key (padding) gives numbers that are thrown away, not NaN.
_MASKED = -1e30


class KVCache(NamedTuple):
    """Keys and values of all layers, [L, B, S, K, H]; the entry of a token stands at its position."""

    k: jax.Array
    v: jax.Array


def attend(
    q_BTNH: jax.Array,
    k_BSKH: jax.Array,
    v_BSKH: jax.Array,
    *,
    scale: float,
    query_index_BT: jax.Array | None = None,
    segments_BS: jax.Array | None = None,
    window: int | None = None,
) -> jax.Array:
    """Causal grouped-query attention, softmax in float32.

    Args:
        query_index_BT: where each query stands on the key axis; None means T = S, one to one. A query sees the
            keys up to its own.
        segments_BS: packed sequences (T = S): a query sees keys of its own segment id alone.
        window: a query sees this many keys, itself included.
    Returns:
        [B, T, N, H] in the dtype of q.
    """
    B, T, N, H = q_BTNH.shape
    S, K = k_BSKH.shape[1:3]
    if query_index_BT is None:
        query_index_BT = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32)[None, :], (B, T))
    distance_BTS = query_index_BT[:, :, None] - jnp.arange(S, dtype=jnp.int32)[None, None, :]
    visible_BTS = distance_BTS >= 0
    if window is not None:
        visible_BTS &= distance_BTS < window
    if segments_BS is not None:
        visible_BTS &= segments_BS[:, :, None] == segments_BS[:, None, :]
    q_BTKGH = q_BTNH.reshape(B, T, K, N // K, H) * jnp.asarray(scale, q_BTNH.dtype)
    logits = jnp.einsum("BTKGH,BSKH->BKGTS", q_BTKGH, k_BSKH, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(jnp.where(visible_BTS[:, None, None], logits, _MASKED), axis=-1)
    out = jnp.einsum("BKGTS,BSKH->BTKGH", weights.astype(v_BSKH.dtype), v_BSKH)
    return out.reshape(B, T, N, H)


def write_cache(
    k_BSKH: jax.Array, v_BSKH: jax.Array, new_k_BTKH: jax.Array, new_v_BTKH: jax.Array, positions_BT: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One layer's keys and values with new ones at their positions; positions beyond S (padding) are dropped."""
    rows_B1 = jnp.arange(k_BSKH.shape[0])[:, None]
    return (
        k_BSKH.at[rows_B1, positions_BT].set(new_k_BTKH.astype(k_BSKH.dtype), mode="drop"),
        v_BSKH.at[rows_B1, positions_BT].set(new_v_BTKH.astype(v_BSKH.dtype), mode="drop"),
    )
