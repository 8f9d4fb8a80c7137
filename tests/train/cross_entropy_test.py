"""The loss of the tokens that count, beside one that makes all logits."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reeval import sharding
from reeval.train.cross_entropy import token_losses

B, T, D, V = 8, 37, 16, 50


def logits(head: Any, x_BTD: jax.Array) -> jax.Array:
    """By two arrays, of which a run may train one, both or none."""
    return jnp.einsum("BTD,DV->BTV", x_BTD, head[0], preferred_element_type=jnp.float32) + head[1][None, None]


def plain(head: Any, x_BTD: jax.Array, targets_BT: jax.Array, counts_BT: jax.Array) -> jax.Array:
    losses_BT = -jnp.take_along_axis(jax.nn.log_softmax(logits(head, x_BTD)), targets_BT[..., None], axis=-1)[..., 0]
    return jnp.where(counts_BT, losses_BT, 0)


def chunked(chunk: int) -> Callable[..., jax.Array]:
    return lambda *given: token_losses(logits, chunk, *given)


@pytest.fixture
def given() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    head = [rng.normal(size=(D, V)).astype(np.float32), rng.normal(size=V).astype(np.float32)]
    counts = rng.random((B, T)) < 0.3
    counts[1], counts[2], counts[3, :-1] = False, True, False  # none, all, the last alone
    return head, rng.normal(size=(B, T, D)).astype(np.float32), rng.integers(0, V, (B, T)), counts


def total(losses: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Of each token another share, so that none stands for another."""
    weights = np.random.default_rng(1).normal(size=(B, T)).astype(np.float32)
    return lambda *given: jnp.sum(jnp.sin(losses(*given)) * weights)


@pytest.mark.parametrize("chunk", [1, 5, 37, 64])
def test_losses_and_gradients_are_those_of_all_logits(chunk: int, given: tuple[Any, ...]) -> None:
    np.testing.assert_allclose(jax.jit(chunked(chunk))(*given), plain(*given), rtol=0, atol=1e-5)
    for of in (1, (0, 1)):  # the head frozen, and trained
        made = jax.jit(jax.grad(total(chunked(chunk)), of))(*given)
        expected = jax.grad(total(plain), of)(*given)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), made, expected)


def test_part_of_a_head_may_be_trained(given: tuple[Any, ...]) -> None:
    head, *rest = given

    def of(losses: Any) -> Any:
        return jax.jit(jax.grad(lambda bias: total(losses)([head[0], bias], *rest)))(head[1])

    np.testing.assert_allclose(of(chunked(5)), of(plain), rtol=0, atol=1e-5)


def test_no_token_that_counts_for_nothing_is_read(given: tuple[Any, ...]) -> None:
    head, x, targets, counts = given
    spoiled = np.where(counts[..., None], x, np.nan)
    losses, d_x = jax.jit(jax.value_and_grad(lambda x: jnp.sum(chunked(5)(head, x, targets, counts))))(spoiled)
    assert np.isfinite(losses) and np.all(np.isfinite(d_x)) and not np.any(d_x[~counts])


def test_none_at_all_gives_nothing(given: tuple[Any, ...]) -> None:
    head, x, targets, counts = given
    losses, d_x = jax.value_and_grad(lambda x: jnp.sum(chunked(5)(head, x, targets, counts & False)))(x)
    assert losses == 0 and not np.any(d_x)


def test_on_a_mesh_it_is_the_same(given: tuple[Any, ...]) -> None:
    mesh = sharding.make_mesh((2, 2, 2))
    head, x, targets, counts = given
    placed = (
        [jax.device_put(each, sharding.replicated(mesh)) for each in head],
        *(jax.device_put(each, sharding.batch_sharding(mesh, each.ndim)) for each in (x, targets, counts)),
    )
    of = jax.jit(jax.value_and_grad(total(chunked(5)), 1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), of(*placed), of(*given))
    assert "all-gather" not in of.lower(*placed).compile().as_text(), "rows leave their devices"


@pytest.mark.parametrize("trained", [False, True])
def test_logits_of_a_whole_batch_are_never_in_memory(trained: bool) -> None:
    rows, length, vocabulary = 4, 1024, 8192
    head = [jax.ShapeDtypeStruct((D, vocabulary), jnp.float32), jax.ShapeDtypeStruct((vocabulary,), jnp.float32)]
    x = jax.ShapeDtypeStruct((rows, length, D), jnp.float32)
    integers, flags = (jax.ShapeDtypeStruct((rows, length), kind) for kind in (jnp.int32, jnp.bool_))
    whole = rows * length * vocabulary * 4

    def temporaries(losses: Any) -> int:
        of = jax.jit(jax.grad(lambda *given: jnp.sum(losses(*given)), (0, 1) if trained else 1))
        return of.lower(head, x, integers, flags).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(plain) > whole / 2, "the measure would not notice"
    assert temporaries(chunked(64)) < whole / 5
