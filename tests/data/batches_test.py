"""Packed batches: whole conversations, each once an epoch, in an order that can be taken up anywhere."""

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import random_judge

from reeval import hf
from reeval.data import batches
from reeval.data import rows as rows_module
from reeval.data.conversation import Conversation, Example
from reeval.prompts import MODES

LENGTH = 384
OPTIONS = {"length": LENGTH, "rows": 4, "two_pass_share": 0.25, "seed": 3}
Batch = dict[str, np.ndarray]


@pytest.fixture(scope="module", params=random_judge.FAMILIES)
def conversation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Conversation:
    directory = random_judge.write_judge(tmp_path_factory.mktemp("judge"), family=request.param)
    return Conversation(hf.load_tokenizer(directory), "compact-1")


@pytest.fixture(scope="module")
def examples(conversation: Conversation) -> list[dict[str, Example]]:
    return batches.training_examples(conversation, random_judge.pairs(90), length=LENGTH, severity_weight=5.0)


def stream(examples: list[dict[str, Example]], **changes: object) -> Iterator[Batch]:
    return iter(batches.packed(examples, **(OPTIONS | changes)))


def conversations(batch: Batch) -> Iterator[Batch]:
    """The packed conversations of a batch, one by one."""
    for row in range(len(batch["segments"])):
        segments = batch["segments"][row]
        for segment in range(1, segments.max() + 1):
            (at,) = np.nonzero(segments == segment)
            assert at.size and np.array_equal(at, np.arange(at[0], at[-1] + 1)), "a segment is torn"
            yield {name: value[row, at] for name, value in batch.items()}


def names(examples: list[dict[str, Example]]) -> dict[bytes, tuple[int, str]]:
    """From the bytes of a conversation's inputs to its pair and mode."""
    found = {pair[mode].tokens[:-1].tobytes(): (i, mode) for i, pair in enumerate(examples) for mode in MODES}
    assert len(found) == len(MODES) * len(examples)
    return found


def test_a_batch_holds_whole_conversations_and_nothing_else(examples: list[dict[str, Example]]) -> None:
    known = names(examples)
    for batch in islice(stream(examples), 20):
        assert {name: value.shape for name, value in batch.items()} == dict.fromkeys(
            ("tokens", "targets", "weights", "segments", "positions", "examples"), (4, LENGTH)
        )
        assert {str(value.dtype) for name, value in batch.items() if name != "weights"} == {"int32"}
        assert batch["weights"].dtype == np.float32
        assert not batch["weights"][batch["segments"] == 0].any(), "padding is learned"
        for part in conversations(batch):
            pair, mode = known[part["tokens"].tobytes()]
            example = examples[pair][mode]
            np.testing.assert_array_equal(part["targets"], example.tokens[1:])
            np.testing.assert_array_equal(part["weights"], example.weights[1:])
            np.testing.assert_array_equal(part["positions"], np.arange(len(example.tokens) - 1))


def test_an_epoch_shows_each_pair_once_and_epochs_differ(examples: list[dict[str, Example]]) -> None:
    known = names(examples)
    seen: Counter[int] = Counter()
    orders, order = set(), []
    # Batches of one row: an epoch may end within one of more.
    for number, batch in enumerate(islice(stream(examples, rows=1), 200), start=1):
        shown = [known[part["tokens"].tobytes()][0] for part in conversations(batch)]
        seen.update(shown)
        order += shown
        counts = [seen[i] for i in range(len(examples))]
        assert max(counts) - min(counts) <= 1, f"after {number} rows some pairs have been seen twice more"
        if max(counts) == min(counts):
            orders.add(tuple(order))
            order = []
    assert min(counts) >= 5 and len(orders) == min(counts)


def test_the_shares_of_padding_and_modes(examples: list[dict[str, Example]]) -> None:
    known = names(examples)
    drawn: Counter[str] = Counter()
    padding = []
    for batch in islice(stream(examples), 160):
        padding.append(np.mean(batch["segments"] == 0))
        drawn.update(known[part["tokens"].tobytes()][1] for part in conversations(batch))
    n = drawn.total()
    assert np.mean(padding) < 0.15  # conversations are a fifth to a third of a row here
    assert abs(drawn["two_pass"] / n - 0.25) < 4 * (0.25 * 0.75 / n) ** 0.5  # four standard deviations
    for share, mode in ((0.0, "one_pass"), (1.0, "two_pass")):
        batch = next(stream(examples, two_pass_share=share))
        assert {known[part["tokens"].tobytes()][1] for part in conversations(batch)} == {mode}


def plain(lengths: list[int]) -> list[dict[str, Example]]:
    """Conversations of so many tokens, the second mode's a tenth longer."""

    def example(length: int) -> Example:
        return Example(np.zeros(length + 1, np.int32), np.ones(length + 1, np.float32))

    return [{"one_pass": example(length), "two_pass": example(length + length // 10)} for length in lengths]


def test_packing_wastes_little_where_rows_are_several_times_as_long_as_conversations() -> None:
    # Of the shipped pairs, compact: the mean is 266, the hundredth at either end 78 and 768.
    lengths = np.random.default_rng(0).lognormal(np.log(240), 0.45, 1200).clip(70, 1200).astype(int).tolist()
    wasted = [np.mean(batch["segments"] == 0) for batch in islice(stream(plain(lengths), length=2048, rows=8), 200)]
    assert 7 < 2048 / np.mean(lengths) < 8
    assert np.mean(wasted) < 0.03


def ahead(examples: list[dict[str, Example]], **changes: object) -> Iterator[Batch]:
    """The stream that training takes."""
    options = {"batching": "packed", "length": LENGTH, "rows": 2, "accumulation": 2, "multiple": 1, "seed": 3}
    options["prefixes"] = {}
    own = lambda rows: range(2 * rows)  # noqa: E731
    return iter(batches.stream(examples, **(options | changes), two_pass_share=0.25, own=own))


@pytest.mark.parametrize("batching", ["packed", "grouped"])
def test_what_is_drawn_ahead_changes_neither_batches_nor_states(
    batching: str, examples: list[dict[str, Example]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = ahead(examples, batching=batching)
    monkeypatch.setattr(batches, "_AHEAD", 0)
    other = ahead(examples, batching=batching)
    for _ in range(12):
        batch, expected = next(one), next(other)
        for name, value in batch.items():
            np.testing.assert_array_equal(value, expected[name])
        assert one.get_state() == other.get_state()
    one.close()


def test_a_stream_ahead_takes_up_where_one_of_before_stood(examples: list[dict[str, Example]]) -> None:
    """States of runs that drew no batch ahead are restored."""
    before = stream(examples)
    for _ in range(5):
        next(before)
    again = ahead(examples)
    again.set_state(before.get_state())
    for _ in range(4):
        np.testing.assert_array_equal(next(before)["tokens"], next(again)["tokens"])
    again.close()


def test_batches_are_drawn_before_they_are_asked_for_and_errors_come_at_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = []
    third = threading.Event()

    def filled(*rows: Any, **options: Any) -> Batch:
        drawn.append(threading.current_thread())
        if len(drawn) == 3:
            third.set()
            raise ValueError("pair p3: its image is damaged")
        return rows_module.filled(*rows, **options)

    monkeypatch.setattr(batches, "filled", filled)
    data = ahead(plain([20] * 40))
    next(data)
    assert third.wait(20), "nobody draws the third batch while the first is at work"
    assert threading.current_thread() not in drawn
    next(data)
    with pytest.raises(ValueError, match="pair p3: its image is damaged"):
        next(data)
    data.close()


def test_a_pair_meets_both_modes_in_time(examples: list[dict[str, Example]]) -> None:
    known = names(examples)
    met = {
        known[part["tokens"].tobytes()]
        for batch in islice(stream(examples[:8], two_pass_share=0.5), 40)
        for part in conversations(batch)
    }
    assert len(met) == 16


@pytest.mark.parametrize("taken", [0, 7, 8, 13])
def test_a_restored_stream_goes_on_with_the_same_batches(examples: list[dict[str, Example]], taken: int) -> None:
    unbroken = stream(examples)
    for _ in range(taken):
        next(unbroken)
    state = unbroken.get_state()
    expected = list(islice(unbroken, 12))
    again = stream(examples)
    next(again)
    again.set_state(state)
    for one, other in zip(expected, islice(again, 12), strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


def test_each_token_says_which_example_it_is_of(examples: list[dict[str, Example]]) -> None:
    for batch in islice(stream(examples), 4):
        assert not batch["examples"][batch["segments"] == 0].any()
        for part in conversations(batch):
            (number,) = np.unique(part["examples"])
            said = [example.tokens[:-1].tolist() for example in examples[number - 1].values()]
            assert part["tokens"].tolist() in said


def test_another_seed_gives_another_order(examples: list[dict[str, Example]]) -> None:
    one, same, other = (next(stream(examples, seed=seed))["tokens"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_seed_gives_the_stream_that_it_gave_before() -> None:
    """What runs and figures were made with; a change of the pipeline that draws otherwise must not pass unseen."""

    def example(length: int) -> Example:
        return Example(np.arange(length, dtype=np.int32), np.ones(length, np.float32))

    examples = [{"one_pass": example(10 + i), "two_pass": example(30 + i)} for i in range(12)]
    (batch,) = islice(batches.packed(examples, length=64, rows=4, two_pass_share=0.5, seed=7), 1)
    drawn = [
        [(int(each["examples"][0]), each["tokens"].size) for each in conversations(_row(batch, r))] for r in range(4)
    ]
    assert drawn == [
        [(5, 33), (3, 31)],
        [(7, 35), (2, 10), (11, 19)],
        [(9, 17), (8, 16)],
        [(6, 34), (12, 20), (1, 9)],
    ]


def _row(batch: Batch, row: int) -> Batch:
    return {name: value[row : row + 1] for name, value in batch.items()}


def test_pairs_that_are_too_long_are_named_and_never_cut(conversation: Conversation) -> None:
    pairs = random_judge.pairs(8)
    longest = [max(len(conversation.example(mode, pair).tokens) - 1 for mode in MODES) for pair in pairs]
    limit = sorted(longest)[-3]
    fit = batches.training_examples(conversation, pairs, length=max(longest), severity_weight=1.0)
    assert max(len(e[mode].tokens) - 1 for e in fit for mode in MODES) == max(longest)
    with pytest.raises(ValueError) as caught:
        batches.training_examples(conversation, pairs, length=limit, severity_weight=1.0)
    message = str(caught.value)
    assert f"2 of 8 pairs do not fit into data.sequence_length={limit}" in message
    assert f"raise it to {max(longest)}" in message
    for pair, length in zip(pairs, longest, strict=True):
        assert (f"{pair.pair_id} ({length} tokens)" in message) == (length > limit)
