"""Causal attention block by block, in memory that is flat in length, forward and back; for CPUs and GPUs.

No logits of more than one block of queries and one of keys exist at a time, and blocks that share no packed sequence
are passed over: packing costs what its sequences cost, not what the row is long. Source: arXiv 2205.14135 (Flash).

Shape letters: B batch, T time, N query heads, K key heads, G = N/K, H head size, Q queries of a block, S keys of a
block, I blocks.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

# Finite, so that a row without any visible key (padding) gives numbers that are thrown away, not NaN.
_MASKED = -1e30
# Padding comes last: blocks of the last tokens and of padding are not to look like blocks of all that is between.
_LAST = jnp.iinfo(jnp.int32).max


class _Seen(NamedTuple):
    """Which keys queries see, [B, T] each: by segments, parents, and positions within the window, where there is one.

    Of each block of queries also which blocks of keys matter, first of [I, I], and how many, [I].
    """

    segments_BT: jax.Array
    parents_BT: jax.Array | None
    positions_BT: jax.Array | None
    window: jax.Array | None
    blocks_II: jax.Array
    count_I: jax.Array


def blockwise(
    q_BKGTH: jax.Array,
    k_BKTH: jax.Array,
    v_BKTH: jax.Array,
    segments_BT: jax.Array,
    *,
    scale: float,
    parents_BT: jax.Array | None = None,
    positions_BT: jax.Array | None = None,
    window: jax.Array | None = None,
    block: int,
    by_row: bool,
) -> jax.Array:
    """As `attention.attend` of a call's own tokens.

    Args:
        positions_BT: needed where there is a window; by default counted along the row.
        block: queries and keys of a block.
        by_row: one row after the other, each passing over what it alone does not need; otherwise all at once, passing
            over what none needs, for devices that want larger products.
    Returns:
        [B, K, G, T, H] in the dtype of q.
    """
    B, T = segments_BT.shape
    block = min(block, -(-T // 8) * 8)
    padding = -T % block
    q_BKGTH = q_BKGTH * jnp.asarray(scale, q_BKGTH.dtype)
    if positions_BT is None:
        positions_BT = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32), (B, T))
    ids = [None if x is None else jnp.where(x == 0, _LAST, x) for x in (segments_BT, parents_BT)]
    of_tokens = [
        None if x is None else jnp.pad(x, ((0, 0), (0, padding)), constant_values=_LAST)
        for x in (*ids, None if window is None else positions_BT)
    ]
    long = [jnp.pad(x, ((0, 0),) * (x.ndim - 2) + ((0, padding), (0, 0))) for x in (q_BKGTH, k_BKTH, v_BKTH)]

    def rows(arrays: Any) -> jax.Array:
        q, k, v, segments_BT, parents_BT, positions_BT = arrays
        blocks = _blocks(segments_BT, parents_BT, positions_BT, window, block)
        return _attend(block, q, k, v, _Seen(segments_BT, parents_BT, positions_BT, window, *blocks))

    arrays = (*long, *of_tokens)
    one_row = by_row and B > 1
    out = jax.lax.map(lambda one: rows(jax.tree.map(lambda x: x[None], one))[0], arrays) if one_row else rows(arrays)
    return out[:, :, :, :T]


def _blocks(
    segments_BT: jax.Array,
    parents_BT: jax.Array | None,
    positions_BT: jax.Array | None,
    window: jax.Array | None,
    block: int,
) -> tuple[jax.Array, jax.Array]:
    """Of each block of queries the blocks of keys of which any row may see any, first of [I, I], and their number."""

    def ends(x_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
        blocks_BIQ = x_BT.reshape(x_BT.shape[0], -1, block)
        return blocks_BIQ.min(-1), blocks_BIQ.max(-1)

    # By the range of their ids, which is right whatever stands where.
    least_BI, most_BI = ends(segments_BT)
    needed_BII = jnp.zeros((1, 1, 1), bool)
    for of_queries in (segments_BT, parents_BT):
        if of_queries is not None:
            low_BI, high_BI = ends(of_queries)
            needed_BII |= (low_BI[:, :, None] <= most_BI[:, None]) & (least_BI[:, None] <= high_BI[:, :, None])
    if positions_BT is not None and window is not None:
        low_BI, high_BI = ends(positions_BT)
        needed_BII &= low_BI[:, :, None] - high_BI[:, None] < window
    needed_II = jnp.tril(jnp.any(needed_BII, axis=0))
    return jnp.argsort(~needed_II, axis=1, stable=True).astype(jnp.int32), jnp.sum(needed_II, axis=1, dtype=jnp.int32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(block: int, q_BKGTH: jax.Array, k_BKTH: jax.Array, v_BKTH: jax.Array, seen: _Seen) -> jax.Array:
    return _forward(block, q_BKGTH, k_BKTH, v_BKTH, seen)[0]


def _forward(
    block: int, q_BKGTH: jax.Array, k_BKTH: jax.Array, v_BKTH: jax.Array, seen: _Seen
) -> tuple[jax.Array, jax.Array]:
    """The output and the logarithm of each softmax's sum, [B, K, G, T, 1] float32."""
    B, K, G, T, H = q_BKGTH.shape
    shape = (B, K, G, block)

    def queries(i: jax.Array, made: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        q = _at(q_BKGTH, i, block)

        def keys(n: jax.Array, so_far: Any) -> Any:
            j = seen.blocks_II[i, n]
            top, total, out = so_far
            logits = _logits(q, _at(k_BKTH, j, block), seen, i, j, block)
            new = jnp.maximum(top, jnp.max(logits, axis=-1, keepdims=True))
            weights, kept = jnp.exp(logits - new), jnp.exp(top - new)
            added = _dot("BKRS,BKSH->BKRH", weights.astype(v_BKTH.dtype), _at(v_BKTH, j, block))
            return new, total * kept + jnp.sum(weights, axis=-1, keepdims=True), out * kept + added

        start = (
            jnp.full((*shape, 1), _MASKED, jnp.float32),
            jnp.zeros((*shape, 1), jnp.float32),
            jnp.zeros((*shape, H), jnp.float32),
        )
        top, total, out = jax.lax.fori_loop(0, seen.count_I[i], keys, start)
        return _put(made[0], out / total, i), _put(made[1], top + jnp.log(total), i)

    made = (jnp.zeros_like(q_BKGTH), jnp.zeros((B, K, G, T, 1), jnp.float32))
    return jax.lax.fori_loop(0, T // block, queries, made)


def _keep(block: int, q_BKGTH: jax.Array, k_BKTH: jax.Array, v_BKTH: jax.Array, seen: _Seen) -> Any:
    out, lse = _forward(block, q_BKGTH, k_BKTH, v_BKTH, seen)
    out, lse = checkpoint_name(out, "attention"), checkpoint_name(lse, "attention")
    return out, (q_BKGTH, k_BKTH, v_BKTH, seen, out, lse)


def _backward(block: int, kept: Any, d_out: jax.Array) -> Any:
    q_BKGTH, k_BKTH, v_BKTH, seen, out, lse = kept
    delta = jnp.sum(d_out.astype(jnp.float32) * out.astype(jnp.float32), axis=-1, keepdims=True)

    def queries(i: jax.Array, made: Any) -> Any:
        q, d, of_lse, of_delta = (_at(x, i, block) for x in (q_BKGTH, d_out, lse, delta))

        def keys(n: jax.Array, so_far: Any) -> Any:
            j = seen.blocks_II[i, n]
            d_q, d_k, d_v = so_far
            k, v = _at(k_BKTH, j, block), _at(v_BKTH, j, block)
            weights = jnp.exp(_logits(q, k, seen, i, j, block) - of_lse)
            d_weights = _dot("BKRH,BKSH->BKRS", d, v)
            d_logits = (weights * (d_weights - of_delta)).astype(q.dtype)
            d_q = d_q + _dot("BKRS,BKSH->BKRH", d_logits, k)
            new_k = _summed("BKRS,BKRH->BKSH", d_logits, q)
            new_v = _summed("BKRS,BKRH->BKSH", weights.astype(d.dtype), d)
            d_k = _put(d_k, _at(d_k, j, block) + new_k, j)
            d_v = _put(d_v, _at(d_v, j, block) + new_v, j)
            return d_q, d_k, d_v

        d_q, d_k, d_v = made
        start = (jnp.zeros(q.shape, jnp.float32), d_k, d_v)
        new, d_k, d_v = jax.lax.fori_loop(0, seen.count_I[i], keys, start)
        return _put(d_q, new, i), d_k, d_v

    zeros = [jnp.zeros(x.shape, jnp.float32) for x in (k_BKTH, v_BKTH)]
    d_q, d_k, d_v = jax.lax.fori_loop(0, q_BKGTH.shape[3] // block, queries, (jnp.zeros_like(q_BKGTH), *zeros))
    return d_q, d_k.astype(k_BKTH.dtype), d_v.astype(v_BKTH.dtype), None


_attend.defvjp(_keep, _backward)


def _logits(q: jax.Array, k: jax.Array, seen: _Seen, i: jax.Array, j: jax.Array, block: int) -> jax.Array:
    """Of block i of queries and block j of keys, [B, K, G, Q, S] float32; what is not seen is masked."""
    ahead_QS = (i - j) * block + jnp.arange(block)[:, None] - jnp.arange(block)[None]

    def of(x_BT: jax.Array, n: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice_in_dim(x_BT, n * block, block, 1)

    of_keys_B1S = of(seen.segments_BT, j)[:, None]
    visible_BQS = of(seen.segments_BT, i)[:, :, None] == of_keys_B1S
    if seen.parents_BT is not None:
        visible_BQS |= of(seen.parents_BT, i)[:, :, None] == of_keys_B1S
    visible_BQS &= (ahead_QS >= 0)[None]
    if seen.positions_BT is not None and seen.window is not None:
        visible_BQS &= of(seen.positions_BT, i)[:, :, None] - of(seen.positions_BT, j)[:, None] < seen.window
    return jnp.where(visible_BQS[:, None, None], _dot("BKRH,BKSH->BKRS", q, k), _MASKED)


def _dot(equation: str, of_queries: jax.Array, of_keys: jax.Array) -> jax.Array:
    """One product for each row and key head, of all its query heads, R = G*Q; float32."""
    B, K, G, Q, _ = of_queries.shape
    flat = of_queries.reshape(B, K, G * Q, -1)
    return jnp.einsum(equation, flat, of_keys, preferred_element_type=jnp.float32).reshape(B, K, G, Q, -1)


def _summed(equation: str, logits: jax.Array, of_queries: jax.Array) -> jax.Array:
    """The same, summed over query heads and queries."""
    B, K = logits.shape[:2]
    flat = (x.reshape(B, K, -1, x.shape[-1]) for x in (logits, of_queries))
    return jnp.einsum(equation, *flat, preferred_element_type=jnp.float32)


def _at(x: jax.Array, i: jax.Array, block: int) -> jax.Array:
    """Block i along time, the last axis but one."""
    return jax.lax.dynamic_slice_in_dim(x, i * block, block, x.ndim - 2)


def _put(x: jax.Array, part: jax.Array, i: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(x, part.astype(x.dtype), i * part.shape[-2], x.ndim - 2)
