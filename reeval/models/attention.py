"""Attention: one entry, `attend`, whatever computes it.

Shape letters: B batch, T query time, S key time, N query heads, K key heads, G = N/K, R = G*T, H head size, L layers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Finite, so that a row without any visible key (padding) gives numbers that are thrown away, not NaN.
_MASKED = -1e30
# Queries of one block at least, and blocks at most: each is compiled by itself.
_BLOCK, _BLOCKS = 128, 8


class KeyValues(NamedTuple):
    """Keys and values: [B, K, S, H] of one layer, with a leading L of all."""

    k: jax.Array
    v: jax.Array


class Past(NamedTuple):
    """Keys and values of earlier calls that the tokens of a call see; of one layer, or with a leading L of all.

    kv: [B, K, S, H] each, or [K, S, H] if all rows share them. The key at index s stands at position `start_BT` + s
    of its sequence; a query sees the first `count_BT` of them, within its window. Both are int32 and broadcast over
    [B, T].
    """

    kv: KeyValues
    start_BT: jax.Array
    count_BT: jax.Array


def attend(
    q_BTNH: jax.Array,
    k_BKSH: jax.Array,
    v_BKSH: jax.Array,
    *,
    scale: float,
    segments_BS: jax.Array | None = None,
    window: int | jax.Array | None = None,
    images_BS: jax.Array | None = None,
    past: Sequence[Past] = (),
    positions_BT: jax.Array | None = None,
) -> jax.Array:
    """Causal grouped-query attention over a call's own tokens and what went before; one softmax, in float32.

    Args:
        segments_BS: packed sequences: a query sees keys of its own segment id alone.
        window: a query sees this many keys, itself included; a number, or an array of no axes.
        images_BS: which image a token belongs to, from 1, 0 for none: tokens of one image see each other both ways,
            within segment and window.
        past: what went before, whatever the segments.
        positions_BT: of the tokens in their sequences; needed where there is a past.
    Returns:
        [B, T, N, H] in the dtype of q.
    """
    B, T, N, H = q_BTNH.shape
    K, S = k_BKSH.shape[1:3]
    assert S == T
    # One batch of matrix products [G*T, H] x [H, S] for each sequence and key head: the layout that XLA is fast in.
    q_BKGTH = q_BTNH.reshape(B, T, K, N // K, H).transpose(0, 2, 3, 1, 4)
    index_BT = jnp.arange(T, dtype=jnp.int32)[None]

    def block(start: int, end: int, keys: int) -> jax.Array:
        """Queries start..end over the first `keys` keys: [B, K, G, end - start, H]."""
        distance_BTS = index_BT[:, start:end, None] - index_BT[:, None, :keys]
        visible_BTS = distance_BTS >= 0
        if images_BS is not None:
            own_BT1 = images_BS[:, start:end, None]
            visible_BTS |= (own_BT1 == images_BS[:, None, :keys]) & (own_BT1 > 0)
        if window is not None:
            visible_BTS &= distance_BTS < window
        if segments_BS is not None:
            visible_BTS &= segments_BS[:, start:end, None] == segments_BS[:, None, :keys]
        q = q_BKGTH[:, :, :, start:end]
        seen = [(visible_BTS, KeyValues(k_BKSH[:, :, :keys], v_BKSH[:, :, :keys]))]
        for earlier in past:
            assert positions_BT is not None
            seen.append((_visible(earlier, positions_BT, window, start, end), earlier.kv))
        logits = [_logits(q, kv.k, visible, scale) for visible, kv in seen]
        top = jnp.max(logits[0], axis=-1, keepdims=True)
        for more in logits[1:]:
            top = jnp.maximum(top, jnp.max(more, axis=-1, keepdims=True))
        parts = [_weighted(each, jax.lax.stop_gradient(top), kv.v) for each, (_, kv) in zip(logits, seen, strict=True)]
        out, total = parts[0]
        for more_out, more_total in parts[1:]:
            out, total = out + more_out, total + more_total
        # Dividing the result costs less than dividing the weights.
        return (out / total).astype(q_BTNH.dtype)

    # What lies after a block's last query is never computed, unless an image may reach there.
    step = -(-T // (_BLOCK * _BLOCKS)) * _BLOCK
    ends = [(start, min(start + step, T)) for start in range(0, T, step)]
    out = jnp.concatenate([block(start, end, end if images_BS is None else S) for start, end in ends], axis=3)
    return out.transpose(0, 3, 1, 2, 4).reshape(B, T, N, H)


def _visible(past: Past, positions_BT: jax.Array, window: int | jax.Array | None, start: int, end: int) -> jax.Array:
    """Which keys of the past the queries start..end see, [B, end - start, S]; a 1 stands for any size."""
    index_S = jnp.arange(past.kv.k.shape[-2], dtype=jnp.int32)
    start_BT, count_BT = (x if x.shape[1] == 1 else x[:, start:end] for x in (past.start_BT, past.count_BT))
    visible_BTS = index_S[None, None] < count_BT[:, :, None]
    if window is not None:
        ahead_BT = positions_BT[:, start:end] - start_BT
        visible_BTS &= ahead_BT[:, :, None] - index_S[None, None] < window
    return visible_BTS


def _logits(q_BKGTH: jax.Array, k: jax.Array, visible_BTS: jax.Array, scale: float) -> jax.Array:
    """[B, K, G, T, S] float32."""
    B, K, G, T, H = q_BKGTH.shape
    q = q_BKGTH.reshape(B, K, G * T, H)
    # Keys that all rows share make one product for each head over the queries of all rows.
    equation = "BKRH,BKSH->BKRS" if k.ndim == 4 else "BKRH,KSH->BKRS"
    logits = jnp.einsum(equation, q, k, preferred_element_type=jnp.float32)
    return jnp.where(visible_BTS[:, None, None], logits.reshape(B, K, G, T, -1) * scale, _MASKED)


def _weighted(logits: jax.Array, top: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum of the values by exp(logits - top), [B, K, G, T, H], and of those weights, [B, K, G, T, 1]; float32."""
    B, K, G, T, S = logits.shape
    weights = jnp.exp(logits - top)
    equation = "BKRS,BKSH->BKRH" if v.ndim == 4 else "BKRS,KSH->BKRH"
    out = jnp.einsum(equation, weights.astype(v.dtype).reshape(B, K, G * T, S), v)
    return out.reshape(B, K, G, T, -1).astype(jnp.float32), jnp.sum(weights, axis=-1, keepdims=True)
