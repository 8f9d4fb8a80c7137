"""Qwen3-8B and MedGemma-4B at their real sizes, from shapes alone: no memory, no weights."""

import json
import math
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from real_shapes import MODELS

from configs import medgemma_4b, qwen3_8b
from reeval import lora, sharding
from reeval.train.arithmetic import flops_per_token
from reeval.train.real_size import abstract_judge, lower_step

CONFIGS = {"qwen3_8b": qwen3_8b, "medgemma_4b": medgemma_4b}
# Of the decoder and of what sees; layers, and the sum of inputs and outputs of a layer's seven projections.
PARAMETERS = {"qwen3_8b": (8_190_735_360, 0), "medgemma_4b": (3_880_263_168, 419_816_304)}
ENDS = {
    "qwen3_8b": (36, (4096 + 4096) + 2 * (4096 + 1024) + (4096 + 4096) + 3 * (4096 + 12288)),
    "medgemma_4b": (34, (2560 + 2048) + 2 * (2560 + 1024) + (2048 + 2560) + 3 * (2560 + 10240)),
}


@pytest.fixture
def config(tmp_path: Path, name: str) -> ConfigDict:
    (tmp_path / "config.json").write_text(json.dumps(MODELS[name]))
    module: ModuleType = CONFIGS[name]
    made = module.get_config()
    made.model.path = str(tmp_path)
    return made


def elements(tree: object) -> int:
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_judge_has_the_parameters_of_the_real_one_and_small_float32_adapters(name: str, config: ConfigDict) -> None:
    _, adapter, base = lora.take_apart(abstract_judge(config))
    decoder, sight = PARAMETERS[name]
    assert elements(base) == decoder
    assert {x.dtype for x in jax.tree.leaves(base)} == {jnp.dtype("bfloat16")}
    # An embedding that is no head multiplies nothing.
    embedding = 0 if name == "medgemma_4b" else 151936 * 4096
    assert flops_per_token(base, tied=name == "medgemma_4b") == 4 * (decoder - embedding)
    layers, ends = ENDS[name]
    assert elements(adapter) == layers * 16 * ends
    assert {x.dtype for x in adapter.values()} == {jnp.dtype("float32")}
    _, seeing, base = lora.take_apart(abstract_judge(config, images=True))
    assert elements(base) == decoder + sight
    assert flops_per_token(base, tied=name == "medgemma_4b") == 4 * (decoder - embedding)
    assert {key: x.shape for key, x in seeing.items()} == {key: x.shape for key, x in adapter.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_all_of_the_decoder_can_be_trained_and_nothing_that_sees(name: str, config: ConfigDict) -> None:
    model = abstract_judge(config, images=True)
    adapters = elements(lora.take_apart(model)[1])
    _, trained, rest = lora.take_apart(model, lora.DECODER)
    decoder, sight = PARAMETERS[name]
    assert (elements(trained), elements(rest)) == (decoder + adapters, sight)


@pytest.mark.parametrize(
    ("name", "mesh", "images"),
    [
        ("qwen3_8b", (1, 8, 1), False),
        ("qwen3_8b", (2, 2, 2), False),
        ("medgemma_4b", (1, 8, 1), False),
        ("medgemma_4b", (2, 2, 2), True),
    ],
)
def test_the_training_step_lowers_from_shapes(mesh: tuple[int, int, int], images: bool, config: ConfigDict) -> None:
    config.data.images = images
    lowered, (state, _, _) = lower_step(config, sharding.make_mesh(mesh))
    new_state, metrics = lowered.out_info
    assert jax.tree.map(lambda x: x.shape, new_state) == jax.tree.map(lambda x: x.shape, state)
    assert metrics["loss"].shape == ()
    # Gradients and moments are those of adapters alone: three times their bytes and two counters.
    held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    assert held == 3 * sum(x.size * 4 for x in state.trained.values()) + 3 * 4
    # One loop over the layers each way, not 36 copies of them: the program stays short.
    assert len(lowered.as_text()) < 1_000_000


@pytest.mark.parametrize("name", ["qwen3_8b"])
def test_images_are_not_planned_for_a_model_that_does_not_see(config: ConfigDict) -> None:
    config.data.images = True
    with pytest.raises(ValueError, match="has no vision tower; set it to False"):
        lower_step(config, sharding.single_device_mesh())
