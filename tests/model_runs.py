"""Ways to run a model in tests."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


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


def greedy(model, ids, new, images=None):
    """[B, new] tokens, with the cache; images come with the prompt."""
    batch, length = ids.shape
    graph, state = nnx.split(model)

    @jax.jit
    def step(state, tokens, positions, cache, **images):
        model = nnx.merge(graph, state)
        hidden, cache = model.extend(tokens, positions, cache, **images)
        return jnp.argmax(model.logits(hidden[:, -1:]), -1).astype(jnp.int32), cache

    positions = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None], (batch, length))
    given = {} if images is None else {"images": jnp.asarray(images)}
    token, cache = step(state, jnp.asarray(ids), positions, model.init_cache(batch, length + new), **given)
    made = [token]
    for n in range(new - 1):
        token, cache = step(state, token, jnp.full((batch, 1), length + n, jnp.int32), cache)
        made.append(token)
    return np.concatenate(made, 1)


def extending(model):
    """From ids, their positions, a cache, and images or none, to logits and the new cache."""
    graph, state = nnx.split(model)

    @jax.jit
    def call(state, ids, positions, cache, **images):
        model = nnx.merge(graph, state)
        hidden, cache = model.extend(ids, positions.astype(jnp.int32), cache, **images)
        return model.logits(hidden), cache

    return lambda ids, positions, cache, **images: call(state, ids, positions, cache, **images)
