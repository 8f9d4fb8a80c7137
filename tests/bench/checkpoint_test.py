"""Random checkpoints for benchmarks: whole directories, of the sizes that their names say."""

import math

import jax
import numpy as np
import pytest
from flax import nnx

from reeval import embedded, hf
from reeval.bench import checkpoint
from reeval.bench.costs import Costs


def test_a_checkpoint_loads_and_has_the_parameters_that_costs_count(tmp_path):
    count = checkpoint.write_random(tmp_path / "model", "tiny", embedded.DIRECTORY, "float32")
    model = hf.load_model(tmp_path / "model")
    leaves = jax.tree.leaves(nnx.state(model))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == count
    config = hf.load_config(tmp_path / "model")
    assert config.vocab_size == len(hf.load_tokenizer(tmp_path / "model"))
    norms = (2 * config.num_layers + 1) * config.d_model + 2 * config.num_layers * config.head_dim
    assert Costs(config, 4).parameters + norms == count


def test_weights_are_as_large_as_trained_ones_and_no_rows_repeat(tmp_path):
    checkpoint.write_random(tmp_path, "tiny", embedded.DIRECTORY, "bfloat16")
    model = hf.load_model(tmp_path)
    assert model.embed.embedding.dtype == "bfloat16"
    gate = np.asarray(model.layers.mlp.gate.w, np.float32)
    assert np.std(gate) == pytest.approx(1.2 / 64**0.5, rel=0.05)
    assert len(np.unique(np.asarray(model.embed.embedding, np.float32), axis=0)) == model.config.vocab_size
    assert not np.array_equal(gate[0], gate[1])


def test_a_tokenizer_with_too_many_tokens_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(checkpoint._SIZES, "tiny", (100, *checkpoint._SIZES["tiny"][1:]))
    with pytest.raises(ValueError, match="has 1536 tokens, and --shape=tiny only 100"):
        checkpoint.write_random(tmp_path, "tiny", embedded.DIRECTORY, "float32")


@pytest.mark.parametrize(("shape", "least", "most"), [("qwen3_80m", 50e6, 100e6), ("qwen3_8b", 8.1e9, 8.3e9)])
def test_shapes_have_the_sizes_of_their_names(shape, least, most):
    assert least < Costs(checkpoint._config(shape, 0), 2).parameters < most
