"""Adapters: what they compute, what they train, and that merging them changes nothing."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import SHAPES, SMALL, both
from flax import nnx
from random_qwen3 import relative, tokens

from reeval import hf, lora, sharding
from reeval.hf.names import FAMILIES as NAMES
from reeval.models import port_of

TOLERANCE = 2e-5


def make_model(config=None, *, family="qwen3", dtype=jnp.float32, seed=0, noise=True):
    """A random model with adapters whose B is not zero, so that they do something."""
    shape = config_of(family)
    model = port_of(shape)(shape, dtype=dtype, rngs=nnx.Rngs(seed))
    if config is not None:
        lora.add(model, config, hf.module_name, rngs=nnx.Rngs(seed + 1))
        if noise:
            randomise(model)
    return model


def config_of(family):
    shape = SMALL[family]
    return NAMES[family].read_config(SHAPES[shape].SHAPES[shape])


def randomise(model, seed=7):
    noise = np.random.default_rng(seed)
    for _, einsum in lora.projections(model):
        if einsum.lora is not None:
            einsum.lora.b[...] = jnp.asarray(noise.normal(size=einsum.lora.b.shape) * 0.3, jnp.float32)


IDS = tokens({"vocab_size": 68}, 2, 9)  # the vocabulary of either


def run(model, **kwargs):
    graph, state = nnx.split(model)
    return jax.jit(lambda state: nnx.merge(graph, state).hidden(jnp.asarray(IDS), **kwargs))(state)


@both
@pytest.mark.parametrize("rslora", [False, True])
def test_merge_equals_apply(rslora, family):
    everything = lora.LoRAConfig(rank=3, alpha=7.0, rslora=rslora, targets=r".*")
    model = make_model(everything, family=family)
    graph, state = nnx.split(model)
    forward = jax.jit(lambda state: nnx.merge(graph, state)(jnp.asarray(IDS)))
    applied, plain = forward(state), make_model(family=family)(jnp.asarray(IDS))
    lora.merge(model)
    assert relative(model(jnp.asarray(IDS)), applied) < TOLERANCE
    assert relative(plain, applied) > 0.01, "the adapters did nothing"
    assert all(einsum.lora is None for _, einsum in lora.projections(model))


def test_each_projection_gets_its_share_in_plain_matrices():
    config = lora.LoRAConfig(rank=3, alpha=6.0, rslora=True, targets=r".*")
    model = make_model(config)
    for path, einsum in lora.projections(model):
        a, b, w = (np.asarray(v[...], np.float64) for v in (einsum.lora.a, einsum.lora.b, einsum.w))
        for n in range(len(w)) if path.startswith("layers") else [...]:
            expected = (a[n].reshape(-1, 3) @ b[n].reshape(3, -1)) * 6.0 / math.sqrt(3)
            np.testing.assert_allclose(np.asarray(einsum.lora.delta())[n], expected.reshape(w[n].shape), atol=1e-5)


def test_a_new_adapter_is_nothing():
    config = lora.LoRAConfig(rank=4)
    assert relative(run(make_model(config, noise=False)), run(make_model())) < 1e-6


def test_scale():
    assert lora.LoRAConfig(rank=4, alpha=8.0).scale == 2.0
    assert lora.LoRAConfig(rank=4, alpha=8.0, rslora=True).scale == 4.0


@both
def test_adapters_are_float32_over_a_bfloat16_base_and_alone_get_gradients(family):
    model = make_model(lora.LoRAConfig(rank=4), family=family, dtype=jnp.bfloat16)
    parts, adapter, base = lora.take_apart(model)
    assert {leaf.dtype for leaf in adapter.values()} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(base)} == {jnp.dtype("bfloat16")}
    assert sorted(adapter)[:2] == ["layers.attn.k.lora.a", "layers.attn.k.lora.b"]
    assert len(adapter) == 14

    def loss(adapter, base):
        return jnp.mean(parts.assemble(adapter, base)(jnp.asarray(IDS)) ** 2)

    gradients = jax.jit(jax.grad(loss))(adapter, base)
    assert gradients.keys() == adapter.keys()
    for name, gradient in gradients.items():
        assert gradient.dtype == jnp.float32
        assert gradient.shape == adapter[name].shape
        assert float(jnp.abs(gradient).max()) > 0, name
    c = model.config
    D, F, N, K, H = c.d_model, c.hidden, c.num_heads, c.num_kv_heads, c.head_dim
    a_layer = 2 * (D + N * H) + 2 * (D + K * H) + 3 * (D + F)
    assert sum(leaf.nbytes for leaf in adapter.values()) == 4 * 4 * c.num_layers * a_layer


@both
def test_gradient_is_that_of_finite_differences(family):
    model = make_model(lora.LoRAConfig(rank=2, alpha=4.0), family=family)
    parts, adapter, base = lora.take_apart(model)
    loss = jax.jit(lambda adapter: jnp.mean(parts.assemble(adapter, base)(jnp.asarray(IDS)) ** 2))
    gradients = jax.grad(loss)(adapter)
    noise = np.random.default_rng(0)
    way = {name: jnp.asarray(noise.normal(size=leaf.shape), jnp.float32) for name, leaf in adapter.items()}
    step = 3e-5

    def at(sign):
        return float(loss({name: leaf + sign * step * way[name] for name, leaf in adapter.items()}))

    expected = sum(float(jnp.vdot(gradients[name], way[name])) for name in adapter)
    assert (at(1) - at(-1)) / (2 * step) == pytest.approx(expected, rel=0.01)


def test_targets_choose_by_the_whole_hugging_face_name():
    model = make_model(lora.LoRAConfig(rank=2, targets=r"self_attn\.[qv]_proj|mlp\.down_proj"))
    adapted = {path for path, einsum in lora.projections(model) if einsum.lora is not None}
    assert adapted == {"layers.attn.q", "layers.attn.v", "layers.mlp.down"}


def test_targets_that_match_nothing_are_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"'q_proj' matches no module; there are .*self_attn.q_proj"):
        make_model(lora.LoRAConfig(targets="q_proj"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rank", 0, "rank must be at least 1"),
        ("dropout", 1.0, "dropout must be in"),
        ("targets", "(", "no regular expression"),
    ],
)
def test_bad_settings_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        lora.LoRAConfig(**{field: value})


def test_dropout_acts_in_training_alone_and_keeps_the_mean():
    graph, state = nnx.split(make_model(lora.LoRAConfig(rank=4, dropout=0.5)))
    train = jax.jit(lambda seed: nnx.merge(graph, state).hidden(jnp.asarray(IDS), key=jax.random.key(seed)))
    one, two = train(0), train(1)
    assert relative(one, two) > 1e-3
    np.testing.assert_array_equal(one, train(0))
    np.testing.assert_array_equal(run(nnx.merge(graph, state)), run(make_model(lora.LoRAConfig(rank=4))))

    adapter = next(einsum.lora for path, einsum in lora.projections(make_single(0.5)))
    x = jnp.ones((1, 4000, 8))
    mean = jnp.mean(adapter(x, jax.random.key(0)), axis=(0, 1))
    assert relative(mean, adapter(x, None)[0, 0]) < 0.1


def make_single(dropout):
    from reeval.models.layers import Einsum

    class One(nnx.Module):
        def __init__(self):
            self.q = Einsum("BTD,DF->BTF", (8, 5), ("embed", "mlp"), dtype=jnp.float32, rngs=nnx.Rngs(0))

    one = One()
    lora.add(one, lora.LoRAConfig(rank=2, dropout=dropout, targets="q"), lambda path: path, rngs=nnx.Rngs(1))
    randomise(one)
    return one


def test_a_sharded_model_gives_the_same():
    model = make_model(lora.LoRAConfig(rank=4))
    expected = run(model)
    mesh = sharding.make_mesh((2, 2, 2))
    graph, state = nnx.split(model)
    placed = jax.device_put(state, sharding.state_shardings(mesh, state))
    assert relative(run(nnx.merge(graph, placed)), expected) < TOLERANCE


@both
def test_a_whole_decoder_comes_apart_by_name_and_together_again(family: str) -> None:
    model = make_model(family=family)
    expected = run(model)
    parts, trained, rest = lora.take_apart(model, lora.DECODER)
    assert not jax.tree.leaves(rest)
    assert sum(x.size for x in trained.values()) == sum(x.size for x in jax.tree.leaves(nnx.state(model)))
    assert {"layers.attn.q.w", "layers.mlp.down.w"} <= set(trained)
    whole = parts.assemble(trained, rest)
    np.testing.assert_array_equal(run(whole), expected)
    without = parts.assemble(trained | {"layers.mlp.down.w": jnp.zeros_like(trained["layers.mlp.down.w"])}, rest)
    assert relative(run(without), expected) > TOLERANCE
