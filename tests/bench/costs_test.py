"""What must be read and computed, against counts by hand and by XLA."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from reeval.bench.costs import Costs
from reeval.models.qwen3 import Qwen3, Qwen3Config

CONFIG = Qwen3Config(
    vocab_size=50, d_model=8, hidden=12, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=6, norm_eps=1e-6,
    tied=True, rope_theta=1e4,
)  # fmt: skip
COSTS = Costs(CONFIG, 2)


def test_weights_are_counted_as_the_model_has_them():
    model = nnx.eval_shape(lambda: Qwen3(CONFIG, rngs=nnx.Rngs(0)))
    matrices = [leaf.size for leaf in jax.tree.leaves(nnx.state(model)) if min(leaf.shape[-2:]) > 1 and leaf.ndim > 1]
    norms = 3 * (2 * 8 + 2 * 6)  # stacked scales look like matrices
    assert COSTS.parameters == sum(matrices) - norms


def test_prefill_is_what_the_model_computes():
    """Of one layer, since XLA counts a scanned one once; up to what is no matrix product."""
    config = Qwen3Config(**vars(CONFIG) | {"num_layers": 1, "d_model": 64, "hidden": 256, "head_dim": 32})
    graph, state = nnx.split(Qwen3(config, rngs=nnx.Rngs(0)))
    tokens = jnp.zeros((1, 64), jnp.int32)
    counted = jax.jit(lambda s, t: nnx.merge(graph, s)(t)).lower(state, tokens).cost_analysis()["flops"]
    # The model computes the half of the attention that is masked, too.
    masked = 4 * 4 * 32 * (64 * 64 - 64 * 65 / 2)
    assert Costs(config, 4).prefill_operations(64, heads=64) + masked == pytest.approx(counted, rel=0.1)


def test_prefill_in_two_parts_costs_as_much_as_at_once():
    whole = COSTS.prefill_operations(30, heads=0)
    assert COSTS.prefill_operations(10, heads=0) + COSTS.prefill_operations(20, 10, heads=0) == whole


def test_decode_reads_weights_and_prefix_a_step_and_own_tokens_of_each():
    weights = (COSTS.layers + COSTS.head) * 2
    token = 2 * 3 * 2 * 6 * 2  # keys and values, layers, key heads, head size, bytes
    # Inputs: the prompt's last token, and then each token of the answer; each sees itself.
    own = (3 + 4 + 5) + (7 + 8) + (9 + 10)
    answers = [[[1, 1]], [[1], [1]]]
    assert COSTS.decode_bytes(3, 10, [13, 17], answers) == 3 * (weights + 10 * token) + own * token
    seen = own + 7 * 10
    assert COSTS.decode_operations([13, 17], answers) == 7 * weights + 4 * 3 * 4 * 6 * seen
