"""Attention as TPUs run it: compiled ahead of time for a mesh of them, forward and back."""

import jax
import jax.numpy as jnp
import pytest

from reeval import sharding
from reeval.models.attention import attend
from reeval.plan.flops import flops
from reeval.plan.topology import devices_of

pytest.importorskip("libtpu", reason="reeval plan needs libtpu: pip install -e '.[plan]'")
B, T, N, K = 2, 1024, 8, 4


@pytest.mark.parametrize("H", [128, 256])
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5p:2x2x1", "v6e:2x2"])
def test_splash_compiles_for_a_mesh_split_over_rows_and_heads(topology: str, H: int) -> None:
    mesh = sharding.make_mesh((1, 2, 2), devices_of(topology))

    def shape(*sizes: int, dtype: str = "bfloat16") -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding.batch_sharding(mesh, len(sizes)))

    def attention(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array) -> jax.Array:
        with sharding.activations(mesh, attention="auto"):
            return attend(q, k, v, scale=0.1, segments_BS=ids, window=300)

    def total(*inputs: jax.Array) -> jax.Array:
        return attention(*inputs).astype(jnp.float32).sum()

    inputs = (shape(B, T, N, H), shape(B, K, T, H), shape(B, K, T, H), shape(B, T, dtype="int32"))
    lowered = jax.jit(jax.grad(total, argnums=(0, 1, 2))).lower(*inputs)
    # One kernel forward; two back, for queries and for keys with values.
    assert lowered.as_text().count("@tpu_custom_call") == 3
    lowered.compile()
    # Two products over all blocks that the window touches: of two by two, all but the one above the diagonal,
    # where the grid has a cell all the same.
    assert flops(jax.jit(attention).trace(*inputs).jaxpr) == 2 * 2 * B * N * T * T * H
