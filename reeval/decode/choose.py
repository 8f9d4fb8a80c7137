"""The next token of each slot: what the grammar allows, steered to a legal end, and what it says of a severity.

Shape letters: B slots, V vocabulary, S states, C classes of tokens, W tokens that can decide a severity.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from reeval import sharding
from reeval.decode.grammar import Grammar

_NEVER = np.iinfo(np.int32).max
_LEAST = np.finfo(np.float32).min


class Tables(NamedTuple):
    """A grammar on the device, int32.

    needs_SC: tokens at least that an answer takes from here on with a token of the class, it and the end counted;
    more than any budget where it is not allowed. deciding_W: the tokens that decide in some state.
    """

    class_V: Any
    next_SC: Any
    needs_SC: Any
    decides_SC: Any
    deciding_W: Any


class Choice(NamedTuple):
    """The token, the grammar's state after it, and where the token decides a severity the log odds of significant
    against insignificant among the tokens that were allowed, NaN elsewhere; float32."""

    token_B: jax.Array
    state_B: jax.Array
    odds_B: jax.Array


def tables(grammar: Grammar, mesh: Mesh) -> Tables:
    """`grammar`, whole on every device."""
    return jax.device_put(numbers(grammar), sharding.replicated(mesh))


def numbers(grammar: Grammar) -> Tables:
    """The tables of `grammar`, on no device yet."""
    after_SC = grammar.next_SC
    needs_SC = np.where(after_SC >= 0, grammar.distance_S[after_SC] + 1, _NEVER)
    deciding_C: np.ndarray = np.any(grammar.decides_SC, axis=0)
    made = Tables(
        class_V=grammar.class_V,
        next_SC=after_SC,
        needs_SC=needs_SC,
        decides_SC=grammar.decides_SC,
        deciding_W=np.flatnonzero(deciding_C[grammar.class_V]),
    )
    return Tables(*(np.asarray(x, np.int32) for x in made))


def choose(
    tables: Tables,
    pieces: Sequence[jax.Array],
    state_B: jax.Array,
    left_B: jax.Array,
    seed_B2: jax.Array,
    position_B: jax.Array,
    *,
    temperature: float,
) -> Choice:
    """The likeliest token of those allowed, or a random one by their weights at `temperature`.

    Args:
        pieces: the logits, [B, v] each, of one piece of the vocabulary after the other.
        left_B: tokens that the answer may still have, its end counted.
        seed_B2, position_B: what alone decides the noise of a token.
    """
    allowed_BC = tables.needs_SC[state_B] <= left_B[:, None]
    starts = list(itertools.accumulate((piece.shape[1] for piece in pieces), initial=0))
    noise_BV = _noise(seed_B2, position_B, starts[-1]) if temperature else None
    best: tuple[jax.Array, jax.Array] | None = None
    for start, end, scores_BV in zip(starts, starts[1:], pieces, strict=False):
        if noise_BV is not None:
            scores_BV = scores_BV / temperature + noise_BV[:, start:end]
        top_B, token_B = _first_greatest(scores_BV, jnp.take(allowed_BC, tables.class_V[start:end], axis=1))
        token_B += start
        if best is not None:  # of equal ones the first stays
            token_B = jnp.where(top_B > best[0], token_B, best[1])
            top_B = jnp.maximum(top_B, best[0])
        best = top_B, token_B
    assert best is not None
    token_B = best[1]
    class_B = tables.class_V[token_B]
    return Choice(
        token_B,
        tables.next_SC[state_B, class_B],
        _odds(tables, pieces, starts, allowed_BC, tables.decides_SC[state_B], class_B),
    )


def _first_greatest(scores_BV: jax.Array, allowed_BV: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The greatest score that is allowed, -inf if none is, and its index, the first of equal ones; [B], [B] int32.

    A score that is no number, or none that can be compared, counts as least: what is made is always allowed. Two
    plain reductions, as XLA's argmax takes several times longer on a CPU.
    """
    V = scores_BV.shape[1]
    scores_BV = jnp.where(allowed_BV, jnp.where(scores_BV > _LEAST, scores_BV, _LEAST), -jnp.inf)
    top_B = jnp.max(scores_BV, axis=1)
    index_V = jnp.arange(V, dtype=jnp.int32)
    return top_B, jnp.min(jnp.where(scores_BV == top_B[:, None], index_V[None], V - 1), axis=1)


def _odds(
    tables: Tables,
    pieces: Sequence[jax.Array],
    starts: Sequence[int],
    allowed_BC: jax.Array,
    decides_BC: jax.Array,
    class_B: jax.Array,
) -> jax.Array:
    if not tables.deciding_W.shape[0]:
        return jnp.full(class_B.shape, jnp.nan, jnp.float32)
    class_W = tables.class_V[tables.deciding_W]
    logits_BW = jnp.zeros(())
    for start, end, piece in zip(starts, starts[1:], pieces, strict=False):
        here_W = (tables.deciding_W >= start) & (tables.deciding_W < end)
        taken_BW = jnp.take(piece, tables.deciding_W - start, axis=1, mode="clip")
        logits_BW = jnp.where(here_W[None], taken_BW, logits_BW)
    decides_BW = jnp.where(allowed_BC[:, class_W], decides_BC[:, class_W], 0)

    def weight(side: int) -> jax.Array:
        return jax.nn.logsumexp(logits_BW, axis=1, where=decides_BW == side)

    decided_B = jnp.take_along_axis(decides_BC, class_B[:, None], axis=1)[:, 0] > 0
    return jnp.where(decided_B, weight(1) - weight(2), jnp.nan)


def _noise(seed_B2: jax.Array, position_B: jax.Array, V: int) -> jax.Array:
    """Gumbel noise, [B, V], of a seed and a position each."""

    def one(seed_2: jax.Array, position: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.wrap_key_data(seed_2, impl="threefry2x32"), position)
        return jax.random.gumbel(key, (V,), jnp.float32)

    return jax.vmap(one)(seed_B2, position_B)
