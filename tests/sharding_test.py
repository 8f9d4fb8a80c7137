import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reeval import sharding
from reeval.models.layers import place
from reeval.models.qwen3 import Qwen3, Qwen3Config

SHAPE = Qwen3Config(
    vocab_size=64, d_model=16, hidden=24, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=6,
    rope_theta=1e4, norm_eps=1e-6, tied=False,
)  # fmt: skip


def shard(mesh: jax.sharding.Mesh, axes: tuple[str | None, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what one device holds."""
    return sharding.place(mesh, axes, shape).shard_shape(shape)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((8, 1, 1), (8, 1, 1)), ((-1, 2, 2), (2, 2, 2)), ((1, -1, 2), (1, 4, 2)), ((1, 1, -1), (1, 1, 8))],
)
def test_a_mesh_covers_all_devices(shape: tuple[int, int, int], sizes: tuple[int, int, int]) -> None:
    mesh = sharding.make_mesh(shape)
    assert tuple(mesh.shape[name] for name in sharding.MESH_AXES) == sizes
    assert sharding.batch_multiple(mesh) == sizes[0] * sizes[1]


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((1, 1, 1), "needs 1 devices, but there are 8"),
        ((3, -1, 1), "needs a multiple of 3 devices, but there are 8"),
        ((3, -1, 1), r"mesh \(3, -1, 1\) .* there are 8"),
        ((16, -1, 1), r"mesh \(16, -1, 1\) .* there are 8"),
        ((-1, -1, 1), "at most one of them -1"),
        ((0, 8, 1), "three sizes"),
        ((8, 1), "three sizes"),
    ],
)
def test_a_mesh_that_does_not_fit_is_refused(shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sharding.make_mesh(shape)


def test_weights_are_split_over_fsdp_and_tensor_and_batches_over_data_and_fsdp() -> None:
    mesh = sharding.make_mesh((2, 2, 2))
    assert shard(mesh, ("embed", "mlp"), (16, 24)) == (8, 12)
    assert shard(mesh, ("layers", "heads", "head_dim", "embed"), (3, 4, 6, 16)) == (3, 2, 6, 8)
    assert shard(mesh, ("batch", None), (8, 5)) == (2, 5)
    assert sharding.batch_sharding(mesh, 3, leading=1).shard_shape((3, 8, 5)) == (3, 2, 5)
    assert sharding.replicated(mesh).shard_shape((8, 5)) == (8, 5)


def test_an_axis_that_does_not_divide_stays_whole_and_the_others_are_split() -> None:
    mesh = sharding.make_mesh((1, 2, 4))
    assert shard(mesh, ("embed", "kv_heads", "head_dim"), (16, 2, 6)) == (8, 2, 6)
    assert shard(mesh, ("embed", "mlp"), (15, 24)) == (15, 6)
    assert shard(sharding.make_mesh((4, 2, 1)), ("batch",), (4,)) == (4,)


def test_a_models_state_lies_as_its_axes_say() -> None:
    mesh = sharding.make_mesh((2, 2, 2))
    state = nnx.state(nnx.eval_shape(lambda: Qwen3(SHAPE, rngs=nnx.Rngs(0))))
    placed = dict(nnx.to_flat_state(sharding.state_shardings(mesh, state)))
    held = {
        ".".join(map(str, path)): placed[path].get_value().shard_shape(variable.shape)
        for path, variable in nnx.to_flat_state(state)
    }
    assert held["layers.attn.q.w"] == (3, 8, 2, 6)
    assert held["layers.attn.k.w"] == (3, 8, 1, 6)
    assert held["layers.mlp.down.w"] == (3, 12, 8)
    assert held["embed.embedding"] == (32, 8) and held["head.w"] == (8, 32)
    assert held["layers.attn.q_norm.scale"] == (3, 6)


def test_a_batch_arrives_whole_and_in_order() -> None:
    mesh = sharding.make_mesh((2, 2, 2))
    rows = np.arange(24, dtype=np.int32).reshape(8, 3)
    (one,) = sharding.to_device(mesh, {"tokens": rows}).values()
    np.testing.assert_array_equal(one, rows)
    assert {part.data.shape for part in one.addressable_shards} == {(2, 3)}
    (micro,) = sharding.to_device(mesh, {"tokens": np.stack([rows, rows])}, leading=1).values()
    np.testing.assert_array_equal(micro, np.stack([rows, rows]))
    assert {part.data.shape for part in micro.addressable_shards} == {(2, 2, 3)}


def test_activations_are_placed_while_tracing_and_only_then() -> None:
    mesh = sharding.make_mesh((4, 2, 1))
    x = jnp.arange(16.0).reshape(8, 2)

    def traced(x: jax.Array) -> jax.Array:
        with sharding.activations(mesh):
            return place(x, "batch", None) * 1.0

    assert jax.jit(traced)(x).sharding.shard_shape(x.shape) == (1, 2)
    assert place(x, "batch", None) is x
