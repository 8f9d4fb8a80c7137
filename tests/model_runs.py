"""Ways to run a model in tests."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from reeval.models.attention import KeyValues, Past


def jitted(model):
    """From ids [B, T], segments [B, T] or none, and images or none, to logits [B, T, V]."""
    graph, state = nnx.split(model)

    @jax.jit
    def call(state, ids, segments, **images):
        return nnx.merge(graph, state)(ids, segments_BT=segments, **images)

    def forward(ids, segments=None, images=None):
        segments = np.ones_like(ids) if segments is None else segments
        given = {} if images is None else {"images": jnp.asarray(images)}
        return np.asarray(call(state, jnp.asarray(ids), jnp.asarray(segments), **given))

    return forward


class Cache(NamedTuple):
    """Keys and values of each layer, [B, K, S, H], each token's at its position; and how many there are, [B]."""

    layers: list[KeyValues]
    count: jax.Array


def empty_cache(model, batch, length):
    c = model.config
    entries = jnp.zeros((batch, c.num_kv_heads, length, c.head_dim), model.embed.embedding.dtype)
    return Cache([KeyValues(entries, entries)] * c.num_layers, jnp.zeros(batch, jnp.int32))


def past(cache):
    """A cache as `Decoder.extend` takes it."""
    zero = jnp.zeros((1, 1), jnp.int32)
    return [[Past(KeyValues(kv.k.swapaxes(2, 3), kv.v), zero, cache.count[:, None])] for kv in cache.layers]


def greedy(model, ids, new, images=None):
    """[B, new] tokens, with the cache; images come with the prompt."""
    batch, length = ids.shape
    extend = extending(model)
    positions = np.broadcast_to(np.arange(length), (batch, length))
    given = {} if images is None else {"images": jnp.asarray(images)}
    logits, cache = extend(ids, positions, empty_cache(model, batch, length + new), **given)
    made = []
    for n in range(new):
        made.append(jnp.argmax(logits[:, -1:], -1).astype(jnp.int32))
        logits, cache = extend(made[-1], np.full((batch, 1), length + n), cache)
    return np.concatenate(made, 1)


def extending(model):
    """From ids, their positions, a cache, and images or none, to logits and the new cache.

    What stands at a position beyond the cache is padding.
    """
    graph, state = nnx.split(model)

    @jax.jit
    def call(state, ids, positions, cache, **images):
        model = nnx.merge(graph, state)
        given = positions < cache.layers[0].k.shape[2]
        segments = given.astype(jnp.int32)
        hidden, new = model.extend(ids, positions, past(cache), segments_BT=segments, **images)
        rows = jnp.arange(ids.shape[0])[:, None, None]
        at = (rows, jnp.arange(model.config.num_kv_heads)[None, :, None], positions[:, None])
        layers = [
            KeyValues(*(old.at[at].set(more, mode="drop") for old, more in zip(*both, strict=True)))
            for both in zip(cache.layers, new, strict=True)
        ]
        return model.logits(hidden), Cache(layers, cache.count + given.sum(1))

    return lambda ids, positions, cache, **images: call(
        state, jnp.asarray(ids), jnp.asarray(positions, jnp.int32), cache, **images
    )
