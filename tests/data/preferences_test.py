"""Rows of preferences: log-probabilities of whole conversations, nothing seen of what stands beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_judge
from families import both
from flax import nnx

from reeval import hf, sharding
from reeval.data.conversation import Conversation, Preferred
from reeval.data.preferences import PreferredRows
from reeval.pairs import Pair
from reeval.train.objective import verdict_losses

LENGTH = 512
ANSWERS = {"one_pass": (["none"], ["significant none"]), "two_pass": (["none", "none"], ["omission", "insignificant"])}


@pytest.fixture
def judge(tmp_path: Path, family: str) -> tuple[Any, Conversation, list[tuple[str, Pair]]]:
    directory = random_judge.write_judge(tmp_path, family=family)
    model = hf.load_model(directory)
    modes = [("one_pass", "two_pass")[n % 2] for n in range(7)]
    return (
        model,
        Conversation(hf.load_tokenizer(directory), "compact-1"),
        list(zip(modes, random_judge.pairs(7), strict=True)),
    )


def examples_of(conversation: Conversation, asked: list[tuple[str, Pair]]) -> list[Preferred]:
    return [conversation.preferred(mode, pair, *ANSWERS[mode]) for mode, pair in asked]


Asked = Callable[[dict[str, np.ndarray]], tuple[np.ndarray, np.ndarray]]


def asking(model: Any, attention: str = "xla") -> Asked:
    """From a batch to its log-probabilities, and the gradient of what each token's embedding gives to some of their
    sums."""
    mesh = sharding.single_device_mesh()
    graph, state = nnx.split(model)

    @jax.jit
    def call(batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        def total(added: jax.Array) -> tuple[jax.Array, jax.Array]:
            with sharding.activations(mesh, attention=attention):
                model = nnx.merge(graph, state)
                embed, model.inputs = model.inputs, lambda t, images: (embed(t, images)[0] + added, None)
                made = -verdict_losses(model, batch, None, remat="none", chunk=32)
            return jnp.sum(made * jnp.sin(1.0 + jnp.arange(made.shape[1]))[None]), made

        zeros = jnp.zeros((*batch["tokens"].shape, model.config.d_model))
        gradient, made = jax.grad(total, has_aux=True)(zeros)
        return made, gradient

    def asked(batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        made, gradient = call({name: jnp.asarray(x) for name, x in batch.items() if name != "examples"})
        return np.asarray(made), np.asarray(gradient)

    return asked


@both
@pytest.mark.parametrize("attention", ["xla", "blockwise"])
def test_log_probabilities_are_those_of_whole_conversations(judge: Any, attention: str) -> None:
    model, conversation, asked = judge
    rows = PreferredRows(examples_of(conversation, asked), length=LENGTH, seed=0)
    got: dict[int, Any] = {}
    of_rows = asking(model, attention)
    for numbers, batch in rows.once(2, [0, 1]):
        values, _ = of_rows(batch)
        for row, some in enumerate(numbers):
            got |= dict(rows.of(some, values[row]))
    assert sorted(got) == list(range(7)), "each once"
    wholes = []
    for mode, pair in asked:
        for answers in ANSWERS[mode]:
            prompt = conversation.prompt(mode, pair)
            tokens, counts = [*prompt], [0.0] * len(prompt)
            for turn, answer in enumerate(answers):
                glue = conversation.second[1:] if turn else []
                encoded = [*conversation.answer(answer), conversation.end]
                tokens += [*glue, *encoded]
                counts += [0.0] * len(glue) + [1.0] * len(encoded)
            wholes.append((len(prompt) - 1, tokens, counts))
    longest = max(len(tokens) for _, tokens, _ in wholes) - 1
    alone = {
        name: np.zeros((len(wholes), longest), kind)
        for name, kind in {"tokens": int, "targets": int, "segments": int, "positions": int, "weights": float}.items()
    }
    for row, (_, tokens, counts) in enumerate(wholes):
        n = len(tokens) - 1
        alone["tokens"][row, :n], alone["targets"][row, :n] = tokens[:-1], tokens[1:]
        alone["segments"][row, :n], alone["positions"][row, :n] = 1, np.arange(n)
        alone["weights"][row, :n] = counts[1:]
    expected, _ = asking(model)(alone)
    for row, (start, tokens, counts) in enumerate(wholes):
        wanted = expected[row, start : len(tokens) - 1]
        assert np.count_nonzero(wanted) == sum(counts)
        np.testing.assert_allclose(got[row // 2][row % 2], wanted, atol=2e-5)


@both
@pytest.mark.parametrize("attention", ["xla", "blockwise"])
def test_nothing_is_seen_of_the_other_answer_or_of_other_preferences(judge: Any, attention: str) -> None:
    model, conversation, asked = judge
    rows = PreferredRows(examples_of(conversation, asked), length=2 * LENGTH, seed=0)
    numbers, batch = next(iter(rows.once(1, [0])))
    assert len(numbers[0]) > 1
    asked = asking(model, attention)
    before, pulled = (made[0] for made in asked(batch))
    segments = batch["segments"][0]
    for changed in range(1, segments.max() + 1):
        other = {name: x.copy() for name, x in batch.items()}
        at = segments == changed
        other["tokens"][0, at] = (other["tokens"][0, at] + 7) % 40 + 3
        after, pulled_after = (made[0] for made in asked(other))
        # A prompt is seen by its two answers, an answer by itself alone.
        seen_by = {changed, changed + 1, changed + 2} if changed % 3 == 1 else {changed}
        hidden = ~np.isin(segments, list(seen_by))
        np.testing.assert_array_equal(after[hidden], before[hidden])
        assert not np.array_equal(after[~hidden], before[~hidden])
        # An answer's loss pulls at its prompt and at itself.
        pulled_at = seen_by | {changed - (changed - 1) % 3}
        apart = ~np.isin(segments, list(pulled_at))
        np.testing.assert_array_equal(pulled_after[apart], pulled[apart])
        assert not np.array_equal(pulled_after[~apart], pulled[~apart])


@both
def test_a_stream_holds_the_reference_beside_the_targets(judge: Any) -> None:
    _, conversation, asked = judge
    examples = examples_of(conversation, asked)
    rows = PreferredRows(examples, length=LENGTH, seed=3)
    reference = []
    for n, e in enumerate(examples, start=1):
        counts = [answer.weights[1:] != 0 for answer in (e.chosen, e.rejected)]
        reference.append((np.float32(-n) * counts[0], np.float32(-n - 0.5) * counts[1]))
    batches = iter(rows.stream(2, reference, [0, 1]))
    batch = next(batches)
    assert batch["tokens"].shape == (2, LENGTH) and batch["segments"].max() <= rows.segments
    counts = batch["weights"] != 0
    np.testing.assert_array_equal(batch["reference"] != 0, counts)
    rejected = batch["segments"] % 3 == 0
    expected = -batch["examples"] - np.where(rejected, 0.5, 0.0)
    np.testing.assert_array_equal(batch["reference"][counts], expected[counts])
    # What comes next is known from the state alone.
    state = batches.get_state()
    wanted = next(batches)
    again = iter(rows.stream(2, reference, [0, 1]))
    again.set_state(state)
    for name, value in next(again).items():
        np.testing.assert_array_equal(value, wanted[name])


@both
def test_a_preference_that_does_not_fit_is_refused(judge: Any) -> None:
    _, conversation, asked = judge
    examples = examples_of(conversation, asked)
    longest = max(len(e.prompt) + len(e.chosen.tokens) + len(e.rejected.tokens) - 2 for e in examples)
    PreferredRows(examples, length=longest, seed=0)
    with pytest.raises(ValueError, match=rf"of 7 preferences do not fit into .*={longest - 1}; raise it to {longest}"):
        PreferredRows(examples, length=longest - 1, seed=0)
