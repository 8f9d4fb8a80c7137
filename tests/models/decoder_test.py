"""The decoders of both families against a naive forward pass in NumPy, against transformers, and against themselves.

What one family alone has stands in files of its own.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import FAMILIES, SHAPES
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from model_runs import empty_cache, extending, greedy, jitted
from random_qwen3 import relative

from reeval import hf
from reeval.models import attention, remat

TOLERANCE = 2e-5  # of the largest logit, in float32
TIED = {"qwen3": "ratio3-tied-v5", "gemma3": "text-ratio1-v4"}


@pytest.fixture(scope="module", params=SHAPES)
def shape(request):
    return request.param


@pytest.fixture(scope="module")
def made(shape):
    """The module that makes checkpoints of this shape."""
    return SHAPES[shape]


@pytest.fixture(scope="module")
def raw(shape, made):
    return made.SHAPES[shape]


@pytest.fixture(scope="module")
def directory(shape, made, tmp_path_factory):
    return made.checkpoint(tmp_path_factory.mktemp(shape), shape)


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


def test_logits_are_those_of_a_naive_forward_pass(raw, made, forward):
    ids = made.tokens(raw, 2, 90)
    held = made.tensors(raw)
    reference = [made.forward(raw, held, row) for row in ids]
    ours = forward(ids)
    assert ours.dtype == np.float32
    assert relative(ours, np.stack(reference)) < TOLERANCE


def test_logits_are_those_of_transformers_with_left_padding_and_without(raw, made, forward, theirs):
    import torch

    ids = made.tokens(raw, 2, 90)
    mask = np.ones_like(ids)
    mask[0, :37] = 0
    positions = torch.tensor(np.maximum(np.cumsum(mask, 1) - 1, 0))
    with torch.no_grad():
        reference = theirs(torch.tensor(ids)).logits.numpy()
        padded = theirs(torch.tensor(ids), attention_mask=torch.tensor(mask), position_ids=positions).logits.numpy()
    assert relative(forward(ids), reference) < TOLERANCE
    assert relative(forward(ids, mask)[mask == 1], padded[mask == 1]) < TOLERANCE


def test_greedy_generation_is_that_of_transformers(raw, made, model, theirs):
    import torch

    new = 64
    ids = made.tokens(raw, 2, 11)
    reference = theirs.generate(
        torch.tensor(ids),
        attention_mask=torch.ones_like(torch.tensor(ids)),
        do_sample=False,
        max_new_tokens=new,
        min_new_tokens=new,
        pad_token_id=0,
    )
    assert greedy(model, ids, new).tolist() == reference[:, ids.shape[1] :].tolist()


# What follows holds a port against itself, on one shape of each family.


@pytest.fixture(scope="module", params=FAMILIES)
def small(request, tmp_path_factory):
    """How to draw ids, a model, and its forward pass."""
    made, name = FAMILIES[request.param], TIED[request.param]
    model = hf.load_model(made.checkpoint(tmp_path_factory.mktemp("small"), name))
    return functools.partial(made.tokens, made.SHAPES[name]), model, jitted(model)


def test_padding_changes_nothing(small):
    tokens, _, forward = small
    ids = tokens(2, 13)
    alone = forward(ids)
    for pad, real in (((7, 0), slice(7, None)), ((0, 7), slice(0, 13))):
        padded = np.pad(ids, ((0, 0), pad), constant_values=3)
        segments = np.pad(np.ones_like(ids), ((0, 0), pad))
        assert relative(forward(padded, segments)[:, real], alone) < TOLERANCE


def test_packed_sequences_do_not_see_each_other(small):
    tokens, _, forward = small
    ids = tokens(2, 6)
    alone = forward(ids)
    # Both rows, the first token of the second once more, and padding.
    packed = np.concatenate([ids[0], ids[1], ids[1, :1], [0, 0]])[None]
    segments = np.repeat([1, 2, 3, 0], [6, 6, 1, 2])[None].astype(np.int32)
    expected = np.concatenate([alone[0], alone[1], alone[1, :1]])
    assert relative(forward(packed, segments)[0, :13], expected) < TOLERANCE


@pytest.mark.parametrize("block", [None, 3])
def test_cached_decode_is_the_full_forward_pass(small, block, monkeypatch):
    """Two rows of different lengths: prefilled together with padding, then by one token, then by several."""
    if block is not None:  # queries of one block, so that calls have several
        monkeypatch.setattr(attention, "_BLOCK", block)
        monkeypatch.setattr(attention, "_PAST_BLOCK", block)
    tokens, model, forward = small
    extend = extending(model)
    ids = tokens(2, 20)
    full = forward(ids)
    prefilled, slots = np.array([9, 6]), 19
    positions = np.broadcast_to(np.arange(9), (2, 9))
    positions = np.where(positions < prefilled[:, None], positions, slots)
    got, cache = extend(ids[:, :9], positions, empty_cache(model, 2, slots))
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


@pytest.mark.parametrize("name", ["ratio3-tied-v5", "ratio4-untied-v5"])
def test_unstacked_weights_and_a_head_in_pieces_give_the_same_logits(tmp_path, name):
    made = SHAPES[name]
    model = hf.load_model(made.checkpoint(tmp_path, name))
    ids = made.tokens(made.SHAPES[name], 2, 13)
    positions = jnp.broadcast_to(jnp.arange(13, dtype=jnp.int32), ids.shape)
    unstacked = model.unstacked(piece=9)
    hidden, _ = model.extend(jnp.asarray(ids), positions, unstacked=unstacked)
    pieces = model.logit_pieces(hidden, unstacked)
    assert len({piece.shape[-1] for piece in pieces}) == 2, "pieces of one size show less"
    assert relative(np.concatenate(pieces, axis=-1), jitted(model)(ids)) < TOLERANCE


@settings(max_examples=30, deadline=None)
@given(at=st.integers(0, 15), by=st.integers(1, 60), seed=st.integers(0, 5))
def test_a_token_changes_its_own_logits_and_later_ones_alone(small, at, by, seed):
    tokens, model, forward = small
    ids = tokens(1, 16, seed=seed)
    changed = ids.copy()
    changed[0, at] = (changed[0, at] + by) % model.config.vocab_size  # never the same token
    before, after = forward(ids), forward(changed)
    np.testing.assert_array_equal(before[0, :at], after[0, :at])
    assert (np.abs(before[0, at:] - after[0, at:]).max(-1) > 0).all()


def test_rows_of_a_batch_do_not_matter_to_each_other(small):
    tokens, _, forward = small
    ids = tokens(3, 16)
    assert relative(forward(ids[[2, 0, 1]]), forward(ids)[[2, 0, 1]]) < TOLERANCE
    assert relative(forward(ids[:1]), forward(ids)[:1]) < TOLERANCE


def test_remat_changes_neither_values_nor_gradients(small):
    tokens, model, _ = small
    ids = jnp.asarray(tokens(1, 8))
    graph, state = nnx.split(model)

    def loss(state, remat):
        return jnp.sum(nnx.merge(graph, state).hidden(ids, remat=remat) ** 3)

    kept, *others = (jax.jit(jax.value_and_grad(loss), static_argnums=1)(state, name) for name in remat.NAMES)
    for other in others:
        for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(other), strict=True):
            assert relative(b, a) < TOLERANCE
