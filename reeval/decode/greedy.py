"""Greedy decoding of a batch: prefill and decode in one jitted call, and further turns on the same cache.

Shape letters: B batch, T prompt time, S cache length, V vocabulary; images are [B, I, C, side, side].
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from reeval import sharding
from reeval.models.attention import KVCache
from reeval.models.layers import place


class Conversations(NamedTuple):
    """Where a batch of conversations stands: its cache, and how many tokens of each are in it, [B] int32."""

    cache: KVCache
    lengths: jax.Array


class Answers(NamedTuple):
    """tokens: [B, max_new] int32, the first `counts` of a row its answer; finished: [B], whether it ended in time."""

    tokens: np.ndarray
    counts: np.ndarray
    finished: np.ndarray


class GreedyDecoder:
    """Decodes with one model structure; compiles once for each prompt length that it is given, with images or not."""

    def __init__(self, graph: nnx.GraphDef, mesh: Mesh, *, end: int, max_new: int, cache_length: int):
        """
        Args:
            graph: of `nnx.split(model)`; the weights are arguments of the calls.
            end: the token that ends an answer.
            max_new: tokens of one answer at most, the end token not counted.
            cache_length: tokens of a whole conversation at most.
        """
        self.mesh = mesh
        answer = functools.partial(_answer, graph, mesh, end, max_new + 1)
        whole = sharding.replicated(mesh)

        def begin(weights: nnx.State, tokens_BT: jax.Array, counts_B: jax.Array, images: jax.Array | None) -> Any:
            cache = nnx.merge(graph, weights).init_cache(tokens_BT.shape[0], cache_length)
            return answer(weights, Conversations(cache, jnp.zeros_like(counts_B)), tokens_BT, counts_B, images)

        self._begin = jax.jit(begin, out_shardings=(None, whole))
        self._go_on = jax.jit(answer, donate_argnums=1, out_shardings=(None, whole))

    def begin(
        self, weights: nnx.State, tokens: np.ndarray, counts: np.ndarray, images: np.ndarray | None = None
    ) -> tuple[Conversations, Answers]:
        """Answer prompts.

        Args:
            tokens: [B, T] int32, padded on the right.
            counts: [B] int32, 0 for a row that is not used.
            images: [B, I, C, side, side] float32, for a model that sees; rows without image tokens use none of theirs.
        """
        seen = None if images is None else sharding.to_device(self.mesh, {"images": images})["images"]
        return self._fetched(self._begin(weights, *self._placed(tokens, counts), seen))

    def go_on(
        self, weights: nnx.State, conversations: Conversations, tokens: np.ndarray, counts: np.ndarray
    ) -> tuple[Conversations, Answers]:
        """Answer what further turns ask, on the cache of what went before; `conversations` is used up."""
        return self._fetched(self._go_on(weights, conversations, *self._placed(tokens, counts)))

    def _placed(self, tokens: np.ndarray, counts: np.ndarray) -> tuple[jax.Array, jax.Array]:
        batch = {"tokens": np.asarray(tokens, np.int32), "counts": np.asarray(counts, np.int32)}
        placed = sharding.to_device(self.mesh, batch)
        return placed["tokens"], placed["counts"]

    def _fetched(self, result: tuple[Conversations, Any]) -> tuple[Conversations, Answers]:
        conversations, answers = result
        return conversations, Answers(*jax.device_get(answers))


def _answer(
    graph: nnx.GraphDef,
    mesh: Mesh,
    end: int,
    steps: int,
    weights: nnx.State,
    conversations: Conversations,
    tokens_BT: jax.Array,
    counts_B: jax.Array,
    images: jax.Array | None = None,
) -> tuple[Conversations, tuple[jax.Array, jax.Array, jax.Array]]:
    """Prefill `tokens_BT`, then decode until all rows have ended or `steps` tokens are made."""
    with sharding.activations(mesh):
        model = nnx.merge(graph, weights)
        B, T = tokens_BT.shape
        cache_length = conversations.cache.k.shape[3]
        index_T = jnp.arange(T, dtype=jnp.int32)

        # Prefill. A position beyond the cache is padding and leaves no trace.
        given_BT = index_T[None, :] < counts_B[:, None]
        positions_BT = jnp.where(given_BT, conversations.lengths[:, None] + index_T[None, :], cache_length)
        x_BTD, cache = model.extend(tokens_BT, positions_BT, _placed(conversations.cache), images)
        last_B1D = jnp.take_along_axis(x_BTD, jnp.maximum(counts_B - 1, 0)[:, None, None], axis=1)

        def cond(carry: Any) -> jax.Array:
            step, _, done_B, *_ = carry
            return (step < steps) & ~jnp.all(done_B)

        def body(carry: Any) -> Any:
            step, token_B, done_B, lengths_B, out_BT, cache = carry
            out_BT = out_BT.at[:, step].set(jnp.where(done_B, end, token_B))
            done_B = done_B | (token_B == end)
            positions_B = jnp.where(done_B, cache_length, lengths_B)
            x_B1D, cache = model.extend(token_B[:, None], positions_B[:, None], cache)
            lengths_B = lengths_B + ~done_B
            return step + 1, _greedy(model, x_B1D), done_B, lengths_B, out_BT, _placed(cache)

        start = (
            jnp.zeros((), jnp.int32),
            _greedy(model, last_B1D),
            counts_B == 0,
            conversations.lengths + counts_B,
            jnp.full((B, steps), end, jnp.int32),
            _placed(cache),
        )
        _, _, done_B, lengths_B, out_BT, cache = jax.lax.while_loop(cond, body, start)
        made_B = jnp.sum(out_BT != end, axis=1)
        return Conversations(cache, lengths_B), (out_BT[:, :-1], jnp.minimum(made_B, steps - 1), done_B)


def _greedy(model: Any, x_B1D: jax.Array) -> jax.Array:
    return jnp.argmax(model.logits(x_B1D)[:, 0], axis=-1).astype(jnp.int32)


def _placed(cache: KVCache) -> KVCache:
    axes = (None, "batch", "kv_heads", None, None)
    return KVCache(place(cache.k, *axes), place(cache.v, *axes))
