"""A base of int8: the projections of the layers alone, near to what they were, unpacked one layer at a time."""

import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_judge
import seeing_judge
from families import both
from flax import nnx

from configs import tiny
from reeval import embedded, hf, lora, sharding
from reeval.models import int8
from reeval.train.real_size import abstract_base, abstract_judge, lower_step

TOKENS = jnp.arange(40).reshape(2, 20) + 5


@pytest.fixture
def directory(family: str, tmp_path: Path) -> Path:
    return random_judge.write_judge(tmp_path / "judge", family=family, num_attention_heads=8, num_key_value_heads=2)


@both
def test_each_weight_is_within_half_a_step_of_its_channels_scale(directory: Path) -> None:
    plain, packed = (hf.load_model(directory, images=False, quantized=how) for how in ("none", "int8"))
    packed_by_path = int8.chosen(packed)
    for path, einsum in int8.chosen(plain).items():
        made, w = packed_by_path[path], np.asarray(einsum.w[...])
        contracted = tuple(
            n for n, letter in enumerate(einsum.equation.split("->")[0].split(",")[1], start=1)
            if letter not in einsum.equation.split("->")[1]
        )  # fmt: skip
        greatest = np.abs(w).max(contracted, keepdims=True)
        np.testing.assert_allclose(made.scale[...], greatest / 127.5, rtol=0.01)
        assert made.w[...].dtype == jnp.int8 and made.scale[...].dtype == jnp.float32
        restored = np.asarray(made.w[...], np.float32) * np.asarray(made.scale[...])
        assert np.all(np.abs(restored - w) <= 0.5001 * np.asarray(made.scale[...]))
    assert len(packed_by_path) == 7


@both
def test_all_but_the_layers_projections_stays_as_it_is(family: str, tmp_path: Path) -> None:
    if family == "gemma3":
        directory = seeing_judge.write_judge(tmp_path / "judge")
    else:
        directory = random_judge.write_judge(tmp_path / "judge")
    states = [dict(nnx.to_flat_state(nnx.state(hf.load_model(directory, quantized=q)))) for q in ("none", "int8")]
    kept = {path for path, value in states[1].items() if value.dtype != jnp.int8} & states[0].keys()
    for path in kept:
        np.testing.assert_array_equal(states[0][path][...], states[1][path][...])
    changed = {".".join(map(str, path)) for path in states[0].keys() - kept}
    assert changed == {f"layers.{part}.w" for part in ("attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.up", "mlp.down")}  # fmt: skip  # noqa: E501


@both
def test_logits_and_gradients_are_nearly_those_of_the_weights(directory: Path) -> None:
    def made(how: str) -> tuple[jax.Array, jax.Array]:
        graph, state = nnx.split(hf.load_model(directory, images=False, quantized=how))

        def loss(shift: jax.Array) -> tuple[jax.Array, jax.Array]:
            model = nnx.merge(graph, state)
            x, _ = model.inputs(TOKENS, None)
            x, _ = model._scan(x + shift, model.places(*positions, None), None, None, "none")
            return jnp.sum(x**3), model.logits(x)

        positions = (jnp.broadcast_to(jnp.arange(TOKENS.shape[1]), TOKENS.shape), jnp.ones_like(TOKENS))
        gradient, logits = jax.grad(loss, has_aux=True)(jnp.zeros((*TOKENS.shape, model_width(graph, state))))
        return logits, gradient

    def model_width(graph: nnx.GraphDef, state: nnx.State) -> int:
        return nnx.merge(graph, state).config.d_model

    for exact, near in zip(made("none"), made("int8"), strict=True):
        apart = float(jnp.linalg.norm(near - exact) / jnp.linalg.norm(exact))
        assert 1e-5 < apart < 0.05, "not quantised at all, or badly"


@pytest.mark.parametrize("shape", [(1, 8, 1), (2, 2, 2)])
def test_on_a_mesh_each_device_has_its_part_and_the_values_are_those_of_one(
    shape: tuple[int, int, int], tmp_path: Path
) -> None:
    directory = random_judge.write_judge(tmp_path / "judge", num_attention_heads=8, num_key_value_heads=2)
    mesh = sharding.make_mesh(shape)
    one = nnx.state(hf.load_model(directory, quantized="int8"))
    split = nnx.state(hf.load_model(directory, mesh=mesh, quantized="int8"))
    wanted = dict(nnx.to_flat_state(sharding.state_shardings(mesh, split)))
    spread = 0
    for (path, a), (_, b) in zip(nnx.to_flat_state(one), nnx.to_flat_state(split), strict=True):
        np.testing.assert_array_equal(a[...], b[...], err_msg=str(path))
        assert b[...].sharding == wanted[path].get_value(), path
        spread += b.dtype == jnp.int8 and not b[...].sharding.is_fully_replicated
    assert spread == 7


def test_shapes_of_plans_are_those_that_loading_gives(tmp_path: Path) -> None:
    config = tiny.get_config()
    config.model.quantized = "int8"
    mesh = sharding.make_mesh((2, 2, 2))
    _, planned = abstract_base(config, mesh)
    _, loaded = nnx.split(hf.load_model(embedded.DIRECTORY, mesh=mesh, quantized="int8"))
    assert jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), planned) == jax.tree.map(
        lambda x: (x.shape, x.dtype, x.sharding), loaded
    )
    _, adapter, _ = lora.take_apart(abstract_judge(config))
    assert {str(x.dtype) for x in adapter.values()} == {"float32"}


@pytest.mark.parametrize("remat", ["none", "full"])
def test_a_step_never_holds_the_unpacked_weights_of_all_layers(remat: str) -> None:
    """Its temporaries are those of the step over the plain base, and the base is smaller."""

    def compiled(how: str) -> tuple[int, int]:
        config = tiny.get_config()
        config.model.quantized, config.train.remat = how, remat
        # Few tokens, so that weights are most of what there is.
        config.train.batch_size, config.data.sequence_length = 1, 128
        lowered, (_, base, _) = lower_step(config, sharding.make_mesh((1, 1, 1), jax.devices()[:1]))
        held = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(base))
        return lowered.compile().memory_analysis().temp_size_in_bytes, held

    (temporaries, plain), (packed_temporaries, packed) = compiled("none"), compiled("int8")
    unpacked = plain - packed  # nearly: 4 bytes become 1
    assert unpacked > 2e6
    assert packed_temporaries < temporaries + unpacked / 4


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "qwix", None)
    with pytest.raises(ValueError, match=r"quantized='int8' needs qwix: pip install 'reeval\[int8\]'"):
        hf.load_model(random_judge.write_judge(tmp_path / "judge"), quantized="int8")
