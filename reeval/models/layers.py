"""The layers that the ports share.

Shape letters: B batch, T query time, D model, V vocabulary, R rank; each equation names its own others.
A parameter carries the names of its axes (`axes`); `reeval.sharding` alone places them on a mesh. Layers that
repeat are stacked: their parameters have a leading `layers` axis, and `jax.lax.scan` hands one slice to the call.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

Axes = tuple[str | None, ...]


class Placement(NamedTuple):
    """What models may know of the mesh that they are traced for.

    constrain: `constrain(x, axes)` places an activation by the names of its axes.
    by_shard: `by_shard(f, arrays, axes, out, out_axes)` runs `f(*arrays)` on each device's part of them; `out` has the
        shape of what it gives. An axis that does not divide evenly stays whole, so one name must mean one size.
    platform: of the mesh's devices, which need not be those of this machine.
    capability: the CUDA compute capability of GPUs; (0, 0) of other devices.
    attention: the backend of attention, see `attention.attend`.
    """

    constrain: Callable[[jax.Array, Axes], jax.Array]
    by_shard: Callable[[Callable[..., jax.Array], Sequence[jax.Array], Sequence[Axes], Any, Axes], jax.Array]
    platform: str
    capability: tuple[int, ...]
    attention: str


_placement: contextvars.ContextVar[Placement | None] = contextvars.ContextVar("placement", default=None)


@contextlib.contextmanager
def activation_placement(given: Placement) -> Iterator[None]:
    """While tracing inside, `given` places activations: models name axes, the caller knows the mesh."""
    token = _placement.set(given)
    try:
        yield
    finally:
        _placement.reset(token)


def placement() -> Placement | None:
    """What `activation_placement` says, if anything."""
    return _placement.get()


def place(x: jax.Array, *axes: str | None) -> jax.Array:
    """`x`, its axes named; placed where `activation_placement` says."""
    given = _placement.get()
    return x if given is None else given.constrain(x, axes)


def param(
    rngs: nnx.Rngs,
    shape: tuple[int, ...],
    axes: tuple[str, ...],
    *,
    dtype: Any,
    stack: int | None,
    stddev: float | None = 0.02,
) -> nnx.Param:
    """A parameter of normal noise, or of ones if `stddev` is None; stacked `stack` times if that is given."""
    assert len(shape) == len(axes)
    if stack is not None:
        shape, axes = (stack, *shape), ("layers", *axes)
    if stddev is None:
        return nnx.Param(jnp.ones(shape, dtype), axes=axes)
    return nnx.Param((stddev * jax.random.normal(rngs.params(), shape, jnp.float32)).astype(dtype), axes=axes)


class RMSNorm(nnx.Module):
    """Root-mean-square norm over the last axis, in float32, rounded before the scale as transformers does."""

    def __init__(self, size: int, *, axis: str, eps: float, dtype: Any, stack: int | None, rngs: nnx.Rngs):
        self.scale = param(rngs, (size,), (axis,), dtype=dtype, stack=stack, stddev=None)
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        x32 = x.astype(jnp.float32)
        x32 = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.eps)
        return x32.astype(x.dtype) * self.scale[...].reshape(*(1,) * (x.ndim - 1), -1)


class Einsum(nnx.Module):
    """A linear projection `equation` of an input by the weight `w`, and of its adapter if it has one.

    The adapter (see `reeval.lora`) follows from the equation: the contracted letters give its A, the rest its B.
    A weight of int8 has a `scale` (see `reeval.models.int8`).
    """

    def __init__(
        self,
        equation: str,
        shape: tuple[int, ...],
        axes: tuple[str, ...],
        *,
        dtype: Any,
        stack: int | None = None,
        rngs: nnx.Rngs,
    ):
        self.equation = equation
        self.w = param(rngs, shape, axes, dtype=dtype, stack=stack)
        self.scale: nnx.Param | None = nnx.data(None)
        self.lora: nnx.Module | None = nnx.data(None)

    def __call__(self, x: jax.Array, key: jax.Array | None = None, *, out_dtype: Any = None) -> jax.Array:
        if self.scale is None:
            y = self._project(x, self.w[...], out_dtype)
        else:
            # Unpacked anew on the way back: kept, the weights of all layers would be there at once.
            unpacking = jax.checkpoint(
                lambda x, w, scale: self._project(x, _unpacked(w, scale), out_dtype), prevent_cse=False
            )
            y = unpacking(x, self.w[...], self.scale[...])
        return y if self.lora is None else y + self.lora(x, key).astype(y.dtype)

    def _project(self, x: jax.Array, w: jax.Array, out_dtype: Any) -> jax.Array:
        return jnp.einsum(self.equation, x, w.astype(x.dtype), preferred_element_type=out_dtype)


def _unpacked(w: jax.Array, scale: jax.Array) -> jax.Array:
    """An int8 weight in the dtype of its scale."""
    import qwix

    return qwix.dequantize(qwix.QArray(w, scale))


class Embed(nnx.Module):
    """Token embedding, [V, D]; also the transposed head where the two are tied."""

    def __init__(self, vocab: int, size: int, *, dtype: Any, rngs: nnx.Rngs):
        self.embedding = param(rngs, (vocab, size), ("vocab", "embed"), dtype=dtype, stack=None)

    def __call__(self, tokens_BT: jax.Array) -> jax.Array:
        return jnp.take(self.embedding[...], tokens_BT, axis=0)

    def attend(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, T, V] float32."""
        return jnp.einsum("BTD,VD->BTV", x_BTD, self.embedding[...], preferred_element_type=jnp.float32)


def frequencies(theta: float, head_dim: int) -> jax.Array:
    """The angles by which rotary position embedding turns each half-pair of a head a step, [H/2] float32."""
    half = head_dim // 2
    return theta ** (-jnp.arange(half, dtype=jnp.float32) / half)


class Turns(NamedTuple):
    """Sine and cosine of the angles of rotary position embedding, [..., B, T, H/2] float32."""

    sin: jax.Array
    cos: jax.Array


def turns(positions_BT: jax.Array, frequency_FH: jax.Array) -> Turns:
    """By each of F sets of `frequencies`, [F, B, T, H/2]."""
    angle_FBTH = positions_BT[None, :, :, None].astype(jnp.float32) * frequency_FH[:, None, None, :]
    return Turns(jnp.sin(angle_FBTH), jnp.cos(angle_FBTH))


def turns_once(positions_BT: jax.Array, frequency_FH: jax.Array) -> Turns:
    """`turns`, for layers that are no loop: there XLA computes the sines again for each head of each layer on a CPU,
    which takes longer than all else of the embedding. What leaves a loop, of two rounds here, is kept."""
    F, H = frequency_FH.shape
    rounds = 2 if H % 2 == 0 else 1
    parts = jax.lax.map(
        lambda each_FH: turns(positions_BT, each_FH), frequency_FH.reshape(F, rounds, -1).swapaxes(0, 1)
    )
    return Turns(*(jnp.concatenate(list(part), axis=-1) for part in parts))


def rope(x_BTNH: jax.Array, turned: Turns) -> jax.Array:
    """Rotary position embedding in the halves layout of Hugging Face checkpoints; `turned` is [B, T, H/2]."""
    sin, cos = turned.sin[:, :, None], turned.cos[:, :, None]
    first, second = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x_BTNH.dtype)


def segment_positions(segments_BT: jax.Array) -> jax.Array:
    """Positions that start at 0 with each run of one segment id, [B, T] int32."""
    index_T = jnp.arange(segments_BT.shape[1], dtype=jnp.int32)
    starts_BT = jnp.concatenate(
        [jnp.ones_like(segments_BT[:, :1], bool), segments_BT[:, 1:] != segments_BT[:, :-1]], axis=1
    )
    return index_T[None, :] - jax.lax.cummax(jnp.where(starts_BT, index_T[None, :], 0), axis=1)
