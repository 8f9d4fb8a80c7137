"""Rows of preferences: log-probabilities of whole conversations, nothing seen of what stands beside them."""

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


def log_probabilities(model: Any, batch: dict[str, np.ndarray], attention: str = "xla") -> np.ndarray:
    mesh = sharding.single_device_mesh()
    graph, state = nnx.split(model)

    @jax.jit
    def call(state: Any, batch: dict[str, jax.Array]) -> jax.Array:
        with sharding.activations(mesh, attention=attention):
            return -verdict_losses(nnx.merge(graph, state), batch, None, remat="none", chunk=32)

    return np.asarray(call(state, {name: jnp.asarray(x) for name, x in batch.items() if name != "examples"}))


@both
@pytest.mark.parametrize("attention", ["xla", "blockwise"])
def test_log_probabilities_are_those_of_whole_conversations(judge: Any, attention: str) -> None:
    model, conversation, asked = judge
    rows = PreferredRows(examples_of(conversation, asked), length=LENGTH, seed=0)
    got: dict[int, Any] = {}
    for numbers, batch in rows.once(2, [0, 1]):
        values = log_probabilities(model, batch, attention)
        for row, some in enumerate(numbers):
            got |= dict(rows.of(some, values[row]))
    assert sorted(got) == list(range(7)), "each once"
    for number, (mode, pair) in enumerate(asked):
        for which, answers in enumerate(ANSWERS[mode]):
            prompt = conversation.prompt(mode, pair)
            tokens, counts = [*prompt], [0.0] * len(prompt)
            for turn, answer in enumerate(answers):
                glue = conversation.second[1:] if turn else []
                encoded = [*conversation.answer(answer), conversation.end]
                tokens += [*glue, *encoded]
                counts += [0.0] * len(glue) + [1.0] * len(encoded)
            alone = {
                "tokens": np.asarray([tokens[:-1]], np.int32),
                "targets": np.asarray([tokens[1:]], np.int32),
                "weights": np.asarray([counts[1:]], np.float32),
                "segments": np.ones((1, len(tokens) - 1), np.int32),
                "positions": np.arange(len(tokens) - 1, dtype=np.int32)[None],
            }
            expected = log_probabilities(model, alone)[0, len(prompt) - 1 :]
            assert np.count_nonzero(expected) == sum(counts)
            np.testing.assert_allclose(got[number][which], expected, atol=2e-5)


@both
@pytest.mark.parametrize("attention", ["xla", "blockwise"])
def test_nothing_is_seen_of_the_other_answer_or_of_other_preferences(judge: Any, attention: str) -> None:
    model, conversation, asked = judge
    rows = PreferredRows(examples_of(conversation, asked), length=2 * LENGTH, seed=0)
    numbers, batch = next(iter(rows.once(1, [0])))
    assert len(numbers[0]) > 1
    before = log_probabilities(model, batch, attention)[0]
    segments = batch["segments"][0]
    for changed in range(1, segments.max() + 1):
        other = {name: x.copy() for name, x in batch.items()}
        at = segments == changed
        other["tokens"][0, at] = (other["tokens"][0, at] + 7) % 40 + 3
        after = log_probabilities(model, other, attention)[0]
        # A prompt is seen by its two answers, an answer by itself alone.
        seen_by = {changed, changed + 1, changed + 2} if changed % 3 == 1 else {changed}
        hidden = ~np.isin(segments, list(seen_by))
        np.testing.assert_array_equal(after[hidden], before[hidden])
        assert not np.array_equal(after[~hidden], before[~hidden])


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
