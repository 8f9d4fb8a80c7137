"""What Qwen3 alone has: the real shape, and a head that is tied or not."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from model_runs import empty_cache, past

from reeval.models import Qwen3, Qwen3Config

QWEN3_8B = Qwen3Config(
    vocab_size=151936,
    d_model=4096,
    hidden=12288,
    num_layers=36,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
    rope_theta=1e6,
    norm_eps=1e-6,
    tied=False,
)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_real_8b_shape_traces_without_memory(dtype):
    abstract = nnx.eval_shape(lambda: Qwen3(QWEN3_8B, dtype=dtype, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(abstract)
    sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(state)]
    assert sum(sizes) == 8_190_735_360
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(dtype)}

    logits = jax.eval_shape(lambda s, ids: nnx.merge(graph, s)(ids), state, jax.ShapeDtypeStruct((2, 640), jnp.int32))
    assert (logits.shape, logits.dtype) == ((2, 640, 151936), jnp.float32)

    def decode(state, ids, positions):
        model = nnx.merge(graph, state)
        return model.extend(ids, positions, past(empty_cache(model, 4, 1024)))

    one = jax.ShapeDtypeStruct((4, 1), jnp.int32)
    hidden, new = jax.eval_shape(decode, state, one, one)
    assert hidden.shape == (4, 1, 4096)
    assert {(kv.k.shape, kv.v.shape) for kv in new} == {((4, 8, 1, 128),) * 2} and len(new) == 36
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype(dtype)}


def test_tied_model_has_no_head():
    tied = dataclasses.replace(QWEN3_8B, tied=True)
    state = nnx.state(nnx.eval_shape(lambda: Qwen3(tied, rngs=nnx.Rngs(0))))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state)) == 8_190_735_360 - 151936 * 4096
