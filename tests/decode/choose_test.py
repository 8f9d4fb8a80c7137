"""The choice of a token against a plain reading of the grammar's tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made_grammar import steered

from reeval import sharding
from reeval.decode.choose import choose, tables
from reeval.decode.grammar import free

B, V, END = 64, 40, 9
GRAMMAR = steered(V, END)
STATES = len(GRAMMAR.distance_S) - 1


def chosen(logits, state, left, *, temperature=0.0, seed=0, position=0):
    on_device = tables(GRAMMAR, sharding.single_device_mesh())
    seeds = jnp.broadcast_to(jnp.array([0, seed], jnp.uint32), (len(state), 2))
    places = jnp.full(len(state), position, jnp.int32)
    arrays = (jnp.asarray(x) for x in (logits.astype(np.float32), state.astype(np.int32), left.astype(np.int32)))
    pieces = jnp.split(next(arrays), [3, V // 2], axis=1)
    return choose(on_device, pieces, *arrays, seeds, places, temperature=temperature)


def allowed(state, left):
    after = GRAMMAR.next_SC[state][GRAMMAR.class_V]
    return (after >= 0) & (GRAMMAR.distance_S[after] < left)


@pytest.fixture
def drawn():
    noise = np.random.default_rng(0)
    state = noise.integers(0, STATES, B)
    return noise.normal(size=(B, V)), state, GRAMMAR.distance_S[state] + noise.integers(0, 6, B)


def test_the_likeliest_of_what_is_allowed_is_taken(drawn):
    logits, state, left = drawn
    choice = chosen(*drawn)
    masks = np.stack([allowed(*each) for each in zip(state, left, strict=True)])
    assert (masks.sum(1) > 0).all() and len(set(masks.sum(1))) > 3
    # Whether a token is allowed depends on how many are left.
    assert (masks != np.stack([allowed(s, 99) for s in state])).any()
    token = np.where(masks, logits, -np.inf).argmax(1)
    assert np.array_equal(choice.token_B, token)
    assert np.array_equal(choice.state_B, GRAMMAR.next_SC[state, GRAMMAR.class_V[token]])


def test_the_weight_of_a_severity_is_that_of_all_allowed_tokens_that_decide_it(drawn):
    logits, state, left = drawn
    choice = chosen(*drawn)
    decided = 0
    for b in range(B):
        decides = np.where(allowed(state[b], left[b]), GRAMMAR.decides_SC[state[b], GRAMMAR.class_V], 0)
        if not decides[int(choice.token_B[b])]:
            assert np.isnan(choice.odds_B[b])
            continue
        decided += 1
        one, other = (np.logaddexp.reduce(logits[b][decides == side], initial=-np.inf) for side in (1, 2))
        np.testing.assert_allclose(choice.odds_B[b], one - other, rtol=1e-5)
    assert 5 < decided < B - 5


def test_of_equals_the_first_is_taken_and_what_is_no_number_is_never_preferred():
    state, left = np.ones(B, int), GRAMMAR.distance_S[np.ones(B, int)]
    may = allowed(1, left[0])
    assert not may[0] and may.sum() > 2
    first = int(may.argmax())
    for logits in (np.zeros((B, V)), np.full((B, V), np.nan), np.full((B, V), -np.inf)):
        assert set(np.asarray(chosen(logits, state, left).token_B).tolist()) == {first}
    logits = np.full((B, V), np.nan)
    logits[:, np.flatnonzero(may)[-1]] = -5.0
    assert set(np.asarray(chosen(logits, state, left).token_B).tolist()) == {int(np.flatnonzero(may)[-1])}


def test_samples_follow_the_weights_of_what_is_allowed():
    noise, count, temperature = np.random.default_rng(0), 4000, 0.7
    logits = np.broadcast_to(noise.normal(size=V), (count, V))
    on_device = tables(GRAMMAR, sharding.single_device_mesh())
    seeds = jnp.stack([jnp.zeros(count, jnp.uint32), jnp.arange(count, dtype=jnp.uint32)], axis=1)
    state, left, position = (jnp.full(count, x, jnp.int32) for x in (1, 99, 5))
    one = choose(on_device, [jnp.asarray(logits, jnp.float32)], state, left, seeds, position, temperature=temperature)
    other = choose(
        on_device, [jnp.asarray(logits, jnp.float32)], state, left, seeds, position + 1, temperature=temperature
    )
    weights = np.where(allowed(1, 99), np.exp(logits[0] / temperature), 0)
    weights /= weights.sum()
    for choice in (one, other):
        shares = np.bincount(np.asarray(choice.token_B), minlength=V) / count
        assert np.abs(shares - weights).max() < 0.03
        assert not shares[weights == 0].any()
    # Another position is another draw.
    assert np.mean(np.asarray(one.token_B) == np.asarray(other.token_B)) < 0.6


def test_free_decoding_steers_nothing():
    logits = np.random.default_rng(0).normal(size=(B, V)).astype(np.float32)
    on_device = tables(free(V, END), sharding.single_device_mesh())
    zero = jnp.zeros(B, jnp.int32)
    choice = choose(
        on_device, [jnp.asarray(logits)], zero, zero + 1, jnp.zeros((B, 2), jnp.uint32), zero, temperature=0
    )
    assert np.array_equal(choice.token_B, logits.argmax(1))
    assert np.isnan(np.asarray(choice.odds_B)).all()
    assert jax.tree.leaves(choice)[0].dtype == jnp.int32
