"""The Qwen3 port against a naive forward pass in NumPy, against transformers, and against itself."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_qwen3
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from random_qwen3 import SHAPES, relative

from reeval import hf
from reeval.models import Qwen3, Qwen3Config, remat

TOLERANCE = 2e-5  # of the largest logit, in float32

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


@pytest.fixture(scope="module", params=SHAPES)
def shape(request):
    return request.param


@pytest.fixture(scope="module")
def directory(shape, tmp_path_factory):
    return random_qwen3.checkpoint(tmp_path_factory.mktemp(shape), shape)


@pytest.fixture(scope="module")
def model(directory):
    return hf.load_model(directory)


@pytest.fixture(scope="module")
def forward(model):
    return jitted(model)


@pytest.fixture(scope="module")
def theirs(directory):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)  # on these shapes more of them only wait for each other
    return AutoModelForCausalLM.from_pretrained(directory, dtype="float32").eval()


def jitted(model):
    graph, state = nnx.split(model)
    call = jax.jit(lambda state, ids, segments: nnx.merge(graph, state)(ids, segments_BT=segments))
    return lambda ids, segments=None: np.asarray(
        call(state, jnp.asarray(ids), jnp.asarray(np.ones_like(ids) if segments is None else segments))
    )


def test_logits_are_those_of_a_naive_forward_pass(shape, model):
    raw = SHAPES[shape]
    ids = random_qwen3.tokens(raw, 2, 31)
    reference = [random_qwen3.forward(raw, random_qwen3.tensors(raw), row) for row in ids]
    ours = model(jnp.asarray(ids))
    assert ours.dtype == jnp.float32
    assert relative(ours, np.stack(reference)) < TOLERANCE


def test_logits_are_those_of_transformers_with_left_padding_and_without(shape, forward, theirs):
    import torch

    ids = random_qwen3.tokens(SHAPES[shape], 2, 90)
    mask = np.ones_like(ids)
    mask[0, :37] = 0
    positions = torch.tensor(np.maximum(np.cumsum(mask, 1) - 1, 0))
    with torch.no_grad():
        reference = theirs(torch.tensor(ids)).logits.numpy()
        padded = theirs(torch.tensor(ids), attention_mask=torch.tensor(mask), position_ids=positions).logits.numpy()
    assert relative(forward(ids), reference) < TOLERANCE
    assert relative(forward(ids, mask)[mask == 1], padded[mask == 1]) < TOLERANCE


def test_greedy_generation_is_that_of_transformers(shape, model, theirs):
    import torch

    new = 64
    ids = random_qwen3.tokens(SHAPES[shape], 2, 11)
    reference = theirs.generate(
        torch.tensor(ids),
        attention_mask=torch.ones_like(torch.tensor(ids)),
        do_sample=False,
        max_new_tokens=new,
        min_new_tokens=new,
        pad_token_id=0,
    )
    assert greedy(model, ids, new).tolist() == reference[:, ids.shape[1] :].tolist()


def greedy(model, ids, new):
    """[B, new] tokens, with the cache."""
    batch, length = ids.shape
    graph, state = nnx.split(model)

    @jax.jit
    def step(state, tokens, positions, cache):
        model = nnx.merge(graph, state)
        hidden, cache = model.extend(tokens, positions, cache)
        return jnp.argmax(model.logits(hidden[:, -1:]), -1).astype(jnp.int32), cache

    positions = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None], (batch, length))
    token, cache = step(state, jnp.asarray(ids), positions, model.init_cache(batch, length + new))
    made = [token]
    for n in range(new - 1):
        token, cache = step(state, token, jnp.full((batch, 1), length + n, jnp.int32), cache)
        made.append(token)
    return np.concatenate(made, 1)


# What follows holds the port against itself, on one shape.


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    name = "ratio3-tied-v5"
    model = hf.load_model(random_qwen3.checkpoint(tmp_path_factory.mktemp("small"), name))
    return SHAPES[name], model, jitted(model)


def test_padding_changes_nothing(small):
    raw, _, forward = small
    ids = random_qwen3.tokens(raw, 2, 13)
    alone = forward(ids)
    for pad, real in (((7, 0), slice(7, None)), ((0, 7), slice(0, 13))):
        padded = np.pad(ids, ((0, 0), pad), constant_values=3)
        segments = np.pad(np.ones_like(ids), ((0, 0), pad))
        assert relative(forward(padded, segments)[:, real], alone) < TOLERANCE


def test_packed_sequences_do_not_see_each_other(small):
    raw, _, forward = small
    ids = random_qwen3.tokens(raw, 2, 6)
    alone = forward(ids)
    # Both rows, the first token of the second once more, and padding.
    packed = np.concatenate([ids[0], ids[1], ids[1, :1], [0, 0]])[None]
    segments = np.repeat([1, 2, 3, 0], [6, 6, 1, 2])[None].astype(np.int32)
    expected = np.concatenate([alone[0], alone[1], alone[1, :1]])
    assert relative(forward(packed, segments)[0, :13], expected) < TOLERANCE


def test_cached_decode_is_the_full_forward_pass(small):
    """Two rows of different lengths: prefilled together with padding, then by one token, then by several."""
    raw, model, forward = small
    graph, state = nnx.split(model)

    @jax.jit
    def extend(ids, positions, cache):
        model = nnx.merge(graph, state)
        hidden, cache = model.extend(ids, positions.astype(jnp.int32), cache)
        return model.logits(hidden), cache

    ids = random_qwen3.tokens(raw, 2, 20)
    full = forward(ids)
    prefilled, slots = np.array([9, 6]), 19
    positions = np.broadcast_to(np.arange(9), (2, 9))
    positions = np.where(positions < prefilled[:, None], positions, slots)
    got, cache = extend(ids[:, :9], positions, model.init_cache(2, slots))
    for row in range(2):
        assert relative(got[row, : prefilled[row]], full[row, : prefilled[row]]) < TOLERANCE
    rows = np.arange(2)
    for n in range(4):
        at = prefilled + n
        got, cache = extend(ids[rows, at][:, None], at[:, None], cache)
        assert relative(got[:, 0], full[rows, at]) < TOLERANCE
    # The last ones fill the first row's cache to its end; the padding after them must not land there.
    at = (prefilled + 4)[:, None] + np.arange(6)
    padded = [np.pad(x, ((0, 0), (0, 2)), constant_values=c) for x, c in ((ids[rows[:, None], at], 7), (at, slots))]
    got, _ = extend(*padded, cache)
    assert relative(got[:, :6], full[rows[:, None], at]) < TOLERANCE


@settings(max_examples=30, deadline=None)
@given(at=st.integers(0, 15), by=st.integers(1, 100), seed=st.integers(0, 5))
def test_a_token_changes_its_own_logits_and_later_ones_alone(small, at, by, seed):
    raw, _, forward = small
    ids = random_qwen3.tokens(raw, 1, 16, seed=seed)
    changed = ids.copy()
    changed[0, at] = (changed[0, at] + by) % raw["vocab_size"]  # 101: never the same token
    before, after = forward(ids), forward(changed)
    np.testing.assert_array_equal(before[0, :at], after[0, :at])
    assert (np.abs(before[0, at:] - after[0, at:]).max(-1) > 0).all()


def test_rows_of_a_batch_do_not_matter_to_each_other(small):
    raw, _, forward = small
    ids = random_qwen3.tokens(raw, 3, 16)
    assert relative(forward(ids[[2, 0, 1]]), forward(ids)[[2, 0, 1]]) < TOLERANCE
    assert relative(forward(ids[:1]), forward(ids)[:1]) < TOLERANCE


def test_remat_changes_neither_values_nor_gradients(small):
    raw, model, _ = small
    ids = jnp.asarray(random_qwen3.tokens(raw, 1, 8))
    graph, state = nnx.split(model)

    def loss(state, remat):
        return jnp.sum(nnx.merge(graph, state).hidden(ids, remat=remat) ** 3)

    kept, *others = (jax.jit(jax.value_and_grad(loss), static_argnums=1)(state, name) for name in remat.NAMES)
    for other in others:
        for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(other), strict=True):
            assert relative(b, a) < TOLERANCE


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
        return model.extend(ids, positions, model.init_cache(4, 1024))

    one = jax.ShapeDtypeStruct((4, 1), jnp.int32)
    hidden, cache = jax.eval_shape(decode, state, one, one)
    assert hidden.shape == (4, 1, 4096)
    assert cache.k.shape == (36, 4, 8, 1024, 128)
    assert cache.k.dtype == dtype


def test_tied_model_has_no_head():
    tied = dataclasses.replace(QWEN3_8B, tied=True)
    state = nnx.state(nnx.eval_shape(lambda: Qwen3(tied, rngs=nnx.Rngs(0))))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state)) == 8_190_735_360 - 151936 * 4096
