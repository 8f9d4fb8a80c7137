from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_gemma3
from families import SHAPES, SMALL, both
from flax import nnx
from random_qwen3 import relative

from reeval import hf, sharding
from reeval.models import MedGemma, MedGemmaConfig, Qwen3, Qwen3Config
from reeval.models.gemma3 import Rope
from reeval.models.layers import place
from reeval.models.siglip import SiglipConfig

SIZES = {
    "vocab_size": 64, "d_model": 16, "hidden": 24, "num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "head_dim": 6,
    "norm_eps": 1e-6, "tied": False,
}  # fmt: skip
TOWER = SiglipConfig(
    image_size=12, patch_size=3, channels=3, d_model=8, hidden=20, num_layers=2, num_heads=2, norm_eps=1e-6
)
MODELS = {
    "qwen3": (Qwen3, Qwen3Config(**SIZES, rope_theta=1e4)),
    "gemma3": (
        MedGemma,
        MedGemmaConfig(
            **SIZES, query_scale=0.4, windows=(5, None, 5), local_rope=Rope(1e4), global_rope=Rope(1e6, 8.0),
            vision=TOWER, tokens_per_image=4, image_token=63,
        ),
    ),
}  # fmt: skip


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


@both
def test_a_models_state_lies_as_its_axes_say(family: str) -> None:
    port, shape = MODELS[family]
    mesh = sharding.make_mesh((2, 2, 2))
    state = nnx.state(nnx.eval_shape(lambda: port(shape, rngs=nnx.Rngs(0))))
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
    if family == "gemma3":
        assert held["vision.layers.attn.q.w"] == (2, 4, 1, 4)
        assert held["vision.layers.attn.q.bias"] == (2, 1, 4)
        assert held["vision.layers.up.w"] == (2, 4, 10) and held["vision.layers.down.w"] == (2, 10, 4)


@pytest.mark.parametrize("shape", [SMALL["qwen3"], "ratio2-v4"])
def test_a_model_split_over_a_mesh_gives_what_it_gives_on_one_device(shape: str, tmp_path: Path) -> None:
    """With images, where it sees."""
    made_by = SHAPES[shape]
    raw, directory = made_by.SHAPES[shape], made_by.checkpoint(tmp_path, shape)
    inputs = {"tokens_BT": made_by.tokens(raw, 4, 20)}
    if shape in random_gemma3.MULTIMODAL:
        images = random_gemma3.pixels(raw, 4, 2)
        inputs = {"tokens_BT": random_gemma3.with_images(raw, [2, 1, 0, 2], 20), "images": images}

    def run(mesh: jax.sharding.Mesh) -> np.ndarray:
        graph, state = nnx.split(hf.load_model(directory, mesh=mesh))

        def forward(state: nnx.State, inputs: dict[str, jax.Array]) -> jax.Array:
            with sharding.activations(mesh):
                return nnx.merge(graph, state)(**inputs)

        return np.asarray(jax.jit(forward)(state, sharding.to_device(mesh, inputs)))

    assert relative(run(sharding.make_mesh((2, 2, 2))), run(sharding.single_device_mesh())) < 2e-5


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
