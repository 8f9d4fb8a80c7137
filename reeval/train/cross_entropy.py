"""The cross-entropy of the tokens that count, with logits of no others and of few at a time.

Shape letters: B batch, T time, C chunk, D model, V vocabulary.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

Logits = Callable[[Sequence[jax.Array], jax.Array], jax.Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def token_losses(
    logits: Logits,
    chunk: int,
    head: list[jax.Array],
    x_BTD: jax.Array,
    targets_BT: jax.Array,
    counts_BT: jax.Array,
) -> jax.Array:
    """Minus the log-probability of each target, 0 of tokens that do not count.

    Of each row those that count are gathered, and logits exist of `chunk` of them at once, once: a frozen head's
    gradient in x, which is a token's own whatever becomes of its loss, is made while they are there. A head that is
    trained has them made again on the way back.

    Args:
        logits: (head, [B, C, D]) -> [B, C, V] float32, of each token by itself.
        head: the arrays that logits are made with.
        counts_BT: bool.
    Returns:
        [B, T] float32.
    """
    return _forward(logits, chunk, head, x_BTD, targets_BT, counts_BT, gradient=False)[0]


def _forward(
    logits: Logits,
    chunk: int,
    head: list[jax.Array],
    x_BTD: jax.Array,
    targets_BT: jax.Array,
    counts_BT: jax.Array,
    *,
    gradient: bool,
) -> tuple[jax.Array, jax.Array | None]:
    """The losses, and of each the gradient in its x."""
    chosen = _Chosen(counts_BT, chunk)

    def add(n: jax.Array, made: Any) -> Any:
        x_BCD, targets_BC = chosen.take(x_BTD, n), chosen.take(targets_BT, n)
        loss = functools.partial(_losses, logits, head, targets_BC=targets_BC)
        if not gradient:
            return chosen.put(made[0], loss(x_BCD), n), None
        losses_BC, pull = jax.vjp(loss, x_BCD)
        (d_x,) = pull(jnp.ones_like(losses_BC))
        return chosen.put(made[0], losses_BC, n), chosen.put(made[1], d_x, n)

    start = (chosen.zeros(x_BTD[..., 0], jnp.float32), chosen.zeros(x_BTD) if gradient else None)
    losses, d_x = jax.lax.fori_loop(0, chosen.chunks, add, start)
    return chosen.back(losses), chosen.back(d_x) if gradient else None


def _keep(logits: Logits, chunk: int, head: Any, x: Any, targets: Any, counts: Any) -> Any:
    # A dict without values: its keys are known while tracing, on the way back too.
    trained = dict.fromkeys(n for n, array in enumerate(head) if array.perturbed)
    arrays = [array.value for array in head]
    losses, d_x = _forward(logits, chunk, arrays, x.value, targets.value, counts.value, gradient=not trained)
    return losses, (arrays, x.value, targets.value, counts.value, trained, d_x)


def _give(logits: Logits, chunk: int, kept: Any, d_losses: Any) -> Any:
    head, x_BTD, targets_BT, counts_BT, trained, d_x = kept
    if isinstance(d_losses, SymbolicZero):
        d_losses = jnp.zeros(d_losses.shape, d_losses.dtype)
    made: list[Any] = [None] * len(head)
    if d_x is not None:
        return made, (d_x * d_losses[..., None]).astype(x_BTD.dtype), None, None
    chosen = _Chosen(counts_BT, chunk)

    def add(n: jax.Array, so_far: Any) -> Any:
        d_head, d_x = so_far

        def loss(changed: list[jax.Array], x_BCD: jax.Array) -> jax.Array:
            arrays = list(head)
            for index, array in zip(trained, changed, strict=True):
                arrays[index] = array
            return _losses(logits, arrays, x_BCD, targets_BC=chosen.take(targets_BT, n))

        _, pull = jax.vjp(loss, [head[index] for index in trained], chosen.take(x_BTD, n))
        new_head, new_x = pull(chosen.only(d_losses, n))
        d_head = [d + new.astype(jnp.float32) for d, new in zip(d_head, new_head, strict=True)]
        return d_head, chosen.put(d_x, new_x, n)

    start = ([jnp.zeros(head[index].shape, jnp.float32) for index in trained], chosen.zeros(x_BTD))
    d_head, d_x = jax.lax.fori_loop(0, chosen.chunks, add, start)
    for index, d in zip(trained, d_head, strict=True):
        made[index] = d.astype(head[index].dtype)
    return made, chosen.back(d_x), None, None


token_losses.defvjp(_keep, _give, symbolic_zeros=True)


def _losses(logits: Logits, head: list[jax.Array], x_BCD: jax.Array, *, targets_BC: jax.Array) -> jax.Array:
    logits_BCV = logits(head, x_BCD)
    chosen_BC = jnp.take_along_axis(logits_BCV, targets_BC[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits_BCV, axis=-1) - chosen_BC


class _Chosen:
    """The tokens of each row that count, in their order, a chunk at a time; what is done to a row stays on its device.

    Attributes:
        chunks: in which those of the fullest row lie.
    """

    def __init__(self, counts_BT: jax.Array, chunk: int):
        self.chunk = min(chunk, counts_BT.shape[1])
        self._order_BT = jnp.argsort(~counts_BT, axis=1, stable=True)
        self._counts_BT = counts_BT
        self.chunks = -(-jnp.max(jnp.sum(counts_BT, axis=1)) // self.chunk)

    def zeros(self, like_BT: jax.Array, dtype: Any = None) -> jax.Array:
        """For `put`: as long as all chunks."""
        B, T = like_BT.shape[:2]
        return jnp.zeros((B, T + -T % self.chunk, *like_BT.shape[2:]), dtype or like_BT.dtype)

    def take(self, x_BT: jax.Array, n: jax.Array) -> jax.Array:
        """Chunk n of [B, T, ...]; what stands behind a row's last that counts is any other token."""
        order_BT = jnp.pad(self._order_BT, ((0, 0), (0, -self._order_BT.shape[1] % self.chunk)))
        at_BC = jax.lax.dynamic_slice_in_dim(order_BT, n * self.chunk, self.chunk, 1)
        return jnp.take_along_axis(x_BT, at_BC.reshape(*at_BC.shape, *(1,) * (x_BT.ndim - 2)), axis=1)

    def only(self, x_BT: jax.Array, n: jax.Array) -> jax.Array:
        """Chunk n of [B, T], with 0 behind a row's last that counts."""
        index_C = n * self.chunk + jnp.arange(self.chunk)
        return jnp.where(index_C[None] < jnp.sum(self._counts_BT, axis=1)[:, None], self.take(x_BT, n), 0)

    def put(self, made: jax.Array, x_BC: jax.Array, n: jax.Array) -> jax.Array:
        """Chunk n into what `zeros` began."""
        return jax.lax.dynamic_update_slice_in_dim(made, x_BC.astype(made.dtype), n * self.chunk, 1)

    def back(self, made: jax.Array) -> jax.Array:
        """[B, T, ...], each where it was taken from and 0 where none counts."""
        at_BT = jnp.argsort(self._order_BT, axis=1)
        ones = (1,) * (made.ndim - 2)
        placed = jnp.take_along_axis(made, at_BT.reshape(*at_BT.shape, *ones), axis=1)
        return jnp.where(self._counts_BT.reshape(*at_BT.shape, *ones), placed, 0)
