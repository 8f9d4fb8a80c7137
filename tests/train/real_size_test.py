"""Qwen3-8B at its real size, from shapes alone: no memory, no weights."""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from configs import qwen3_8b
from reeval import lora, sharding
from reeval.train.real_size import abstract_judge, lower_step

# config.json of Qwen/Qwen3-8B, what matters of it.
QWEN3_8B = {
    "model_type": "qwen3",
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rope_theta": 1000000,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "attention_bias": False,
}


@pytest.fixture
def config(tmp_path: Path) -> ConfigDict:
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_8B))
    made = qwen3_8b.get_config()
    made.model.path = str(tmp_path)
    return made


def test_the_judge_has_the_parameters_of_qwen3_8b_and_small_float32_adapters(config: ConfigDict) -> None:
    _, adapter, base = lora.take_apart(abstract_judge(config))
    assert sum(math.prod(x.shape) for x in jax.tree.leaves(base)) == 8_190_735_360
    assert {x.dtype for x in jax.tree.leaves(base)} == {jnp.dtype("bfloat16")}
    # 16 for each input and each output of the seven projections of a layer.
    ends = (4096 + 4096) + 2 * (4096 + 1024) + (4096 + 4096) + 3 * (4096 + 12288)
    assert sum(math.prod(x.shape) for x in adapter.values()) == 36 * 16 * ends
    assert {x.dtype for x in adapter.values()} == {jnp.dtype("float32")}


@pytest.mark.parametrize("mesh", [(1, 8, 1), (2, 2, 2)])
def test_the_training_step_lowers_from_shapes(mesh: tuple[int, int, int], config: ConfigDict) -> None:
    lowered, (state, _, _) = lower_step(config, sharding.make_mesh(mesh))
    new_state, metrics = lowered.out_info
    assert jax.tree.map(lambda x: x.shape, new_state) == jax.tree.map(lambda x: x.shape, state)
    assert metrics["loss"].shape == ()
    # Gradients and moments are those of adapters alone: three times their bytes and two counters.
    held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    assert held == 3 * sum(x.size * 4 for x in state.adapter.values()) + 3 * 4
    # One loop over the layers each way, not 36 copies of them: the program stays short.
    assert len(lowered.as_text()) < 1_000_000
