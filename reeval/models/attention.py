"""Attention: one entry, `attend`, whatever computes it.

Shape letters: B batch, T query time, S key time, N query heads, K key heads, G = N/K, R = G*T, H head size, L layers.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from reeval.models import cudnn
from reeval.models.blockwise import blockwise
from reeval.models.layers import Placement, placement
from reeval.models.splash import splash

BACKENDS = ("auto", "xla", "blockwise", "splash", "cudnn")
# Names of the axes of queries by key head, and of keys and values, see `layers.Placement`.
_HEADS, _KEYS = ("batch", "kv_heads", None, None, None), ("batch", "kv_heads", None, None)
# CPUs want blocks that stay in their cache, and rows that pass over what others need; GPUs want large products.
_CPU_BLOCKS, _GPU_BLOCKS = {"block": 64, "by_row": True}, {"block": 512, "by_row": False}
# Finite, so that a row without any visible key (padding) gives numbers that are thrown away, not NaN.
_MASKED = -1e30
# Queries of one block at least, and blocks at most: each is compiled by itself.
_BLOCK, _BLOCKS = 128, 8
# Queries of one block over what went before, all of whose keys may be seen.
_PAST_BLOCK = 512


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
    parents_BS: jax.Array | None = None,
    window: int | jax.Array | None = None,
    windows: tuple[int, ...] = (),
    images_BS: jax.Array | None = None,
    past: Sequence[Past] = (),
    positions_BT: jax.Array | None = None,
) -> jax.Array:
    """Causal grouped-query attention over a call's own tokens and what went before; one softmax, in float32.

    Args:
        segments_BS: packed sequences: a query sees keys of its own segment id alone.
        parents_BS: a query also sees this earlier segment, which its own continues; its own id where there is none.
        window: a query sees this many keys, itself included; a number, or an array of no axes.
        windows: what an array `window` may be, for backends that must know it while tracing.
        images_BS: which image a token belongs to, from 1, 0 for none: tokens of one image see each other both ways,
            within segment and window.
        past: what went before, whatever the segments.
        positions_BT: of the tokens in their sequences; needed where there is a past, or are parents.
    Returns:
        [B, T, N, H] in the dtype of q.
    Raises:
        ValueError: if the backend that was asked for cannot do this.

    A call with a past or images, and one that no `layers.activation_placement` surrounds, is for "xla", whatever was
    asked for. "auto" is by the mesh's platform: "splash" on TPUs; "cudnn" on GPUs where it has a kernel; "blockwise"
    on other GPUs and on CPUs; and "xla" for what is no longer than a block, and on TPUs where windows are not known or
    there are parents.
    """
    B, T, N, H = q_BTNH.shape
    K = k_BKSH.shape[1]
    given = placement()
    if isinstance(window, int):
        windows = (window,)
    known = window is None or bool(windows)
    if given is None or past or images_BS is not None:
        backend = "xla"
    else:
        takes = cudnn.takes(H, q_BTNH.dtype, given.capability)
        backend = _backend(given, T, known, parents_BS is not None, takes)
    if given is None or backend == "xla":
        return _xla(
            q_BTNH,
            k_BKSH,
            v_BKSH,
            scale=scale,
            segments_BS=segments_BS,
            parents_BS=parents_BS,
            window=window,
            images_BS=images_BS,
            past=past,
            positions_BT=positions_BT,
        )
    # Query heads beside the key head that they read, so that both are split alike.
    q_BKGTH = q_BTNH.reshape(B, T, K, N // K, H).transpose(0, 2, 3, 1, 4)
    segments_BT = jnp.ones((B, T), jnp.int32) if segments_BS is None else segments_BS
    rows: dict[str, Any] = {"segments_BT": segments_BT, "parents_BT": parents_BS}
    if parents_BS is not None:
        rows["positions_BT"] = positions_BT
    named = {name: x for name, x in rows.items() if x is not None}
    arrays = [q_BKGTH, k_BKSH, v_BKSH, *named.values()]
    axes: list[Any] = [_HEADS, _KEYS, _KEYS, *[("batch", None)] * len(named)]
    if window is not None:
        arrays, axes, named = [*arrays, jnp.asarray(window, jnp.int32)], [*axes, ()], named | {"window": window}

    def own(q: jax.Array, k: jax.Array, v: jax.Array, *others: jax.Array) -> jax.Array:
        """Of one device's rows and heads."""
        of: dict[str, Any] = dict(zip(named, others, strict=True))
        if backend == "splash":
            known, interpret = windows if window is not None else (), given.platform != "tpu"
            ids, width = of["segments_BT"], of.get("window")
            return splash(q, k, v, ids, width, scale=scale, windows=known, interpret=interpret)
        if backend == "cudnn":
            return cudnn.cudnn(q, k, v, of.pop("segments_BT"), scale=scale, fused=given.platform == "gpu", **of)
        sizes: dict[str, Any] = _GPU_BLOCKS if given.platform == "gpu" else _CPU_BLOCKS
        return blockwise(q, k, v, of.pop("segments_BT"), scale=scale, **of, **sizes)

    out_BKGTH = given.by_shard(own, arrays, axes, q_BKGTH, _HEADS)
    return out_BKGTH.transpose(0, 3, 1, 2, 4).reshape(B, T, N, H)


def _backend(given: Placement, T: int, known: bool, continued: bool, takes: bool) -> str:
    """What computes the attention of T tokens alone.

    Args:
        known: the windows are, while tracing.
        continued: some segments continue others.
        takes: cuDNN takes heads of this size and type, on a GPU like the mesh's.
    """
    if given.attention == "auto":
        if T <= _BLOCK or (given.platform == "tpu" and (continued or not known)):
            return "xla"
        if given.platform == "gpu" and takes:
            return "cudnn"
        return "splash" if given.platform == "tpu" else "blockwise"
    if given.attention not in BACKENDS:
        raise ValueError(f"attention {given.attention!r} is not one of {', '.join(BACKENDS)}")
    if given.attention == "splash" and not known:
        raise ValueError("splash attention needs to know a model's windows while tracing; use attention 'auto'")
    if given.attention == "splash" and continued:
        raise ValueError("splash attention knows no segments that continue others; use attention 'auto'")
    if given.attention == "cudnn" and given.platform == "tpu":
        raise ValueError("cudnn attention is for GPUs; use attention 'auto'")
    if given.attention == "cudnn" and given.platform == "gpu" and not takes:
        raise ValueError(
            "cudnn attention has no kernel for heads of this size and type on this GPU; use attention 'auto'"
        )
    return given.attention


def _xla(
    q_BTNH: jax.Array,
    k_BKSH: jax.Array,
    v_BKSH: jax.Array,
    *,
    scale: float,
    segments_BS: jax.Array | None,
    parents_BS: jax.Array | None,
    window: int | jax.Array | None,
    images_BS: jax.Array | None,
    past: Sequence[Past],
    positions_BT: jax.Array | None,
) -> jax.Array:
    """`attend` by plain products, unrolled over blocks of queries."""
    B, T, N, H = q_BTNH.shape
    K, S = k_BKSH.shape[1:3]
    assert S == T
    # One batch of matrix products [G*T, H] x [H, S] for each sequence and key head: the layout that XLA is fast in.
    q_BKGTH = q_BTNH.reshape(B, T, K, N // K, H).transpose(0, 2, 3, 1, 4)
    index_BT = jnp.arange(T, dtype=jnp.int32)[None]
    line_BT = index_BT
    if parents_BS is not None:
        # What continues a segment need not stand next to it.
        assert segments_BS is not None and positions_BT is not None
        line_BT = positions_BT

    def own(start: int, end: int, keys: int) -> Part:
        """Queries start..end over the first `keys` keys of the call."""
        visible_BTS = _distance(index_BT, start, end, keys) >= 0
        if images_BS is not None:
            own_BT1 = images_BS[:, start:end, None]
            visible_BTS |= (own_BT1 == images_BS[:, None, :keys]) & (own_BT1 > 0)
        if window is not None:
            visible_BTS &= _distance(line_BT, start, end, keys) < window
        if segments_BS is not None:
            keys_B1S = segments_BS[:, None, :keys]
            alike_BTS = segments_BS[:, start:end, None] == keys_B1S
            if parents_BS is not None:
                alike_BTS |= parents_BS[:, start:end, None] == keys_B1S
            visible_BTS &= alike_BTS
        q, k, v = q_BKGTH[:, :, :, start:end], k_BKSH[:, :, :keys], v_BKSH[:, :, :keys]
        return _part(_logits("...RH,...SH->...RS", q, k, visible_BTS, scale), v)

    def earlier(past: Past, start: int, end: int) -> Part:
        """Queries start..end over what went before."""
        assert positions_BT is not None
        visible_BTS = _visible(past, positions_BT, window, start, end)
        logits = _logits("...RH,...HS->...RS", q_BKGTH[:, :, :, start:end], past.kv.k, visible_BTS, scale)
        return _part(logits, past.kv.v)

    before = [_joined([earlier(each, start, end) for start, end in _blocks(T, _PAST_BLOCK)]) for each in past]

    def block(start: int, end: int) -> jax.Array:
        # What lies after a block's last query is never computed, unless an image may reach there.
        parts = [own(start, end, end if images_BS is None else S)]
        parts += [Part(*(x[:, :, :, start:end] for x in part)) for part in before]
        return _merged(parts).astype(q_BTNH.dtype)

    blocks = _blocks(T, -(-T // (_BLOCK * _BLOCKS)) * _BLOCK)
    out = jnp.concatenate([block(start, end) for start, end in blocks], axis=3)
    return out.transpose(0, 3, 1, 2, 4).reshape(B, T, N, H)


class Part(NamedTuple):
    """What some keys give: the greatest logit, the sum of exp(logit - top), and of the values by these weights.

    [B, K, G, T, 1], the same, and [B, K, G, T, H]; float32.
    """

    top: jax.Array
    total: jax.Array
    out: jax.Array


def _distance(index_BT: jax.Array, start: int, end: int, keys: int) -> jax.Array:
    return index_BT[:, start:end, None] - index_BT[:, None, :keys]


def _blocks(T: int, step: int) -> list[tuple[int, int]]:
    return [(start, min(start + step, T)) for start in range(0, T, step)]


def _joined(parts: Sequence[Part]) -> Part:
    """Of one query after the other."""
    return parts[0] if len(parts) == 1 else Part(*(jnp.concatenate(each, axis=3) for each in zip(*parts, strict=True)))


def _merged(parts: Sequence[Part]) -> jax.Array:
    """The softmax's mean over the keys of all parts, [B, K, G, T, H]."""
    # Dividing the result costs less than dividing the weights.
    if len(parts) == 1:
        return parts[0].out / parts[0].total
    top = functools.reduce(jnp.maximum, [part.top for part in parts])
    factors = [jnp.exp(part.top - top) for part in parts]
    out, total = (
        functools.reduce(jnp.add, [each * factor for each, factor in zip(summed, factors, strict=True)])
        for summed in ([part.out for part in parts], [part.total for part in parts])
    )
    return out / total


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


def _part(logits: jax.Array, v: jax.Array) -> Part:
    top = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - top)
    rows = (logits.shape[0], -1) if v.ndim == 3 else (*logits.shape[:2], -1)
    out = jnp.einsum("...RS,...SH->...RH", weights.astype(v.dtype).reshape(*rows, logits.shape[-1]), v)
    made = Part(top, jnp.sum(weights, axis=-1, keepdims=True), out.reshape(*logits.shape[:4], -1).astype(jnp.float32))
    return Part(*(x.swapaxes(0, 1) for x in made)) if v.ndim == 3 else made
