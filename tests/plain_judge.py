"""Conversations one at a time, one token at a time: no cache, no batch, no slots, grammar tables read in NumPy.

What the engine must agree with, for tests.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from reeval.decode.engine import Request, Turn
from reeval.decode.grammar import Grammar


class PlainJudge:
    """A model's conversations; the arguments are those of `Engine`.

    `length`: tokens of a whole conversation at most, for one compile: the model is causal.
    """

    def __init__(
        self,
        model: Any,
        grammar: Grammar,
        *,
        second: Sequence[int],
        end: int,
        max_answer_tokens: int,
        length: int,
        temperature: float = 0.0,
    ):
        self.grammar, self.second, self.end = grammar, list(second), end
        self.max_answer_tokens, self.length, self.temperature = max_answer_tokens, length, temperature
        graph, weights = nnx.split(model)

        @jax.jit
        def logits(tokens_1T: jax.Array, last: jax.Array, images: jax.Array | None) -> jax.Array:
            model = nnx.merge(graph, weights)
            hidden_1TD = model.hidden(tokens_1T, images=images)
            return model.logits(jax.lax.dynamic_slice_in_dim(hidden_1TD, last, 1, axis=1))[0, 0]

        self._logits = logits

    def run(self, requests: Iterable[Request], lines: Callable[[Request, Turn], int]) -> list[list[Turn]]:
        """The turns of each conversation, in order."""
        return [self._conversation(request, lines) for request in requests]

    def _conversation(self, request: Request, lines: Callable[[Request, Turn], int]) -> list[Turn]:
        text = list(request.tokens)
        images = None if request.image is None else jnp.asarray(request.image.pixels())[None, None]
        turns = [self._turn(request, text, images, self.grammar.first)]
        if self.second and turns[0].finished and (n := lines(request, turns[0])):
            text += turns[0].tokens + self.second
            start = self.grammar.second_L[n] if len(self.grammar.second_L) else self.grammar.first
            turns.append(self._turn(request, text, images, int(start)))
        return turns

    def _turn(self, request: Request, text: list[int], images: jax.Array | None, state: int) -> Turn:
        g, made, odds = self.grammar, [], []
        for left in range(self.max_answer_tokens + 1, 0, -1):
            logits_V = self._next(text + made, images)
            after_V = g.next_SC[state, g.class_V]
            allowed_V = (after_V >= 0) & (g.distance_S[after_V] <= left - 1)
            assert allowed_V.any(), "the grammar allows nothing"
            scores_V = logits_V
            if self.temperature:
                position = len(text) + len(made) - 1
                key = jax.random.fold_in(jax.random.key(request.seed, impl="threefry2x32"), position)
                noise_V = np.asarray(jax.random.gumbel(key, logits_V.shape, jnp.float32))
                scores_V = logits_V / np.float32(self.temperature) + noise_V
            token = int(np.argmax(np.where(allowed_V, scores_V, -np.inf)))
            decides_V = np.where(allowed_V, g.decides_SC[state, g.class_V], 0)
            if decides_V[token]:
                odds.append(_lse(logits_V[decides_V == 1]) - _lse(logits_V[decides_V == 2]))
            if token == self.end:
                return Turn(made, True, odds)
            made.append(token)
            state = int(after_V[token])
        return Turn(made[:-1], False, odds)

    def _next(self, text: list[int], images: jax.Array | None) -> np.ndarray:
        padded = np.zeros((1, self.length), np.int32)
        padded[0, : len(text)] = text
        return np.asarray(self._logits(padded, len(text) - 1, images))


def _lse(x: np.ndarray) -> float:
    return float(np.logaddexp.reduce(x.astype(np.float64))) if len(x) else -np.inf
