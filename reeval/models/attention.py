"""Attention: one entry, `attend`, whatever computes it.

Shape letters: B batch, T query time, S key time, N query heads, K key heads, G = N/K, R = G*T, H head size, L layers.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Finite, so that a row without any visible key (padding) gives numbers that are thrown away, not NaN.
_MASKED = -1e30
# Queries of one block at least, and blocks at most: each is compiled by itself.
_BLOCK, _BLOCKS = 128, 8


class KeyValues(NamedTuple):
    """Keys and values of one layer. Those of a call's own tokens are [B, K, T, H] both; see `Past` for earlier ones."""

    k: jax.Array
    v: jax.Array


class Past(NamedTuple):
    """Keys and values of earlier calls that the tokens of a call see, of one layer.

    kv: keys [B, K, H, S] and values [B, K, S, H], so that both are plain products; without B if all rows share them.
    The key at index s stands at position `start_BT` + s of its sequence; a query sees the first `count_BT` of them,
    within its window. Both are int32 and broadcast over [B, T].
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
        k, v = k_BKSH[:, :, :keys], v_BKSH[:, :, :keys]
        logits, values = [_logits("...RH,...SH->...RS", q, k, visible_BTS, scale)], [v]
        for earlier in past:
            assert positions_BT is not None
            visible_BTS = _visible(earlier, positions_BT, window, start, end)
            logits.append(_logits("...RH,...HS->...RS", q, earlier.kv.k, visible_BTS, scale))
            values.append(earlier.kv.v)
        top = functools.reduce(jnp.maximum, map(_top, logits, values))
        top = jax.lax.stop_gradient(top)
        parts = [_weighted(each, top, v) for each, v in zip(logits, values, strict=True)]
        out, total = functools.reduce(lambda a, b: (a[0] + b[0], a[1] + b[1]), parts)
        # Dividing the result costs less than dividing the weights.
        return (out / total).astype(q_BTNH.dtype)

    # What lies after a block's last query is never computed, unless an image may reach there.
    step = -(-T // (_BLOCK * _BLOCKS)) * _BLOCK
    ends = [(start, min(start + step, T)) for start in range(0, T, step)]
    out = jnp.concatenate([block(start, end, end if images_BS is None else S) for start, end in ends], axis=3)
    return out.transpose(0, 3, 1, 2, 4).reshape(B, T, N, H)


def _visible(past: Past, positions_BT: jax.Array, window: int | jax.Array | None, start: int, end: int) -> jax.Array:
    """Which keys of the past the queries start..end see, [B, end - start, S]; a 1 stands for any size."""
    index_S = jnp.arange(past.kv.v.shape[-2], dtype=jnp.int32)
    start_BT, count_BT = (x if x.shape[1] == 1 else x[:, start:end] for x in (past.start_BT, past.count_BT))
    visible_BTS = index_S[None, None] < count_BT[:, :, None]
    if window is not None:
        ahead_BT = positions_BT[:, start:end] - start_BT
        visible_BTS &= ahead_BT[:, :, None] - index_S[None, None] < window
    return visible_BTS


# In what follows keys and values that all rows share, [K, ., .], make one product for each head over the queries of
# all rows; its axes are [K, B, ...] as long as they are long.


def _logits(equation: str, q_BKGTH: jax.Array, k: jax.Array, visible_BTS: jax.Array, scale: float) -> jax.Array:
    """[B, K, G, T, S] float32; [K, B, G, T, S] for shared keys."""
    B, K, G, T, H = q_BKGTH.shape
    if k.ndim == 3:
        q, shape, visible = (
            q_BKGTH.swapaxes(0, 1).reshape(K, B * G * T, H),
            (K, B, G, T, -1),
            visible_BTS[None, :, None],
        )
    else:
        q, shape, visible = q_BKGTH.reshape(B, K, G * T, H), (B, K, G, T, -1), visible_BTS[:, None, None]
    logits = jnp.einsum(equation, q, k, preferred_element_type=jnp.float32)
    return jnp.where(visible, logits.reshape(shape) * scale, _MASKED)


def _top(logits: jax.Array, v: jax.Array) -> jax.Array:
    """The greatest of each query, [B, K, G, T, 1]."""
    top = jnp.max(logits, axis=-1, keepdims=True)
    return top.swapaxes(0, 1) if v.ndim == 3 else top


def _weighted(logits: jax.Array, top: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum of the values by exp(logits - top), [B, K, G, T, H], and of those weights, [B, K, G, T, 1]; float32."""
    weights = jnp.exp(logits - (top.swapaxes(0, 1) if v.ndim == 3 else top))
    rows = (logits.shape[0], -1) if v.ndim == 3 else (*logits.shape[:2], -1)
    out = jnp.einsum("...RS,...SH->...RH", weights.astype(v.dtype).reshape(*rows, logits.shape[-1]), v)
    out = out.reshape(*logits.shape[:4], -1).astype(jnp.float32)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    return (out.swapaxes(0, 1), total.swapaxes(0, 1)) if v.ndim == 3 else (out, total)
