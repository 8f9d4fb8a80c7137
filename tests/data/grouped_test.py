"""Grouped batches: one conversation a row, beside others of its length; each pair once an epoch, wherever it stops."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import seeing_judge

from reeval import hf
from reeval.data import batches
from reeval.data.conversation import Conversation, Example
from reeval.data.grouped import Grouping, grouped

PAIRS = 150
GROUPING = Grouping(length=700, rows=4, accumulation=2, multiple=2)
Batch = dict[str, np.ndarray]


def example(first: int, length: int) -> Example:
    tokens = np.arange(first, first + length + 1, dtype=np.int32)
    return Example(tokens, (tokens % 5).astype(np.float32))


@pytest.fixture(scope="module")
def examples() -> list[dict[str, Example]]:
    """The first token tells the pair and the mode."""
    lengths = np.random.default_rng(0).integers(90, 640, PAIRS)
    return [
        {"one_pass": example(2000 * i + 1, int(n)), "two_pass": example(2000 * i + 1001, int(n) + 60)}
        for i, n in enumerate(lengths)
    ]


def stream(examples: list[dict[str, Example]], seed: int = 3, grouping: Grouping = GROUPING) -> Iterator[Batch]:
    return iter(grouped(examples, grouping=grouping, two_pass_share=0.25, seed=seed, own=lambda rows: range(2 * rows)))


def pair_of(row: np.ndarray) -> int:
    return int(row[0] - 1) // 2000


def epoch(data: Iterator[Batch]) -> list[Batch]:
    """Batches until every pair has been seen."""
    seen: set[int] = set()
    taken = []
    while len(seen) < PAIRS:
        taken.append(next(data))
        seen.update(pair_of(row) for row in taken[-1]["tokens"] if row[0])
    return taken


def test_lengths_are_few_and_batches_of_any_have_about_as_many_tokens() -> None:
    assert Grouping(2048, 8, 1, 4).lengths == list(range(256, 2049, 256))
    assert Grouping(480, 8, 1, 1).lengths == [128, 256, 384, 480]
    assert Grouping(100, 8, 1, 1).lengths == [100]
    for made in (GROUPING, Grouping(2048, 8, 1, 4), Grouping(480, 8, 3, 8)):
        for length in made.lengths:
            rows = made.rows_of(length)
            assert rows >= made.rows and rows % made.multiple == 0
            assert rows * length <= made.rows * made.length < (rows + made.multiple) * length


def test_a_row_is_one_whole_conversation(examples: list[dict[str, Example]]) -> None:
    for batch in islice(stream(examples), 30):
        shape = batch["tokens"].shape
        assert shape[1] in GROUPING.lengths and shape[0] == 2 * GROUPING.rows_of(shape[1])
        for name, value in batch.items():
            assert value.shape == shape and value.dtype == (np.float32 if name == "weights" else np.int32)
        for row, tokens in enumerate(batch["tokens"]):
            if not tokens[0]:
                assert not any(value[row].any() for value in batch.values())
                continue
            pair = pair_of(tokens)
            mode = "two_pass" if tokens[0] % 2000 > 1000 else "one_pass"
            known = examples[pair][mode]
            size = len(known.tokens) - 1
            expected = {
                "tokens": known.tokens[:-1],
                "targets": known.tokens[1:],
                "weights": known.weights[1:],
                "segments": np.ones(size),
                "positions": np.arange(size),
                "examples": np.full(size, pair + 1),
            }
            for name, value in batch.items():
                np.testing.assert_array_equal(value[row], np.pad(expected[name], (0, shape[1] - size)), err_msg=name)


def test_an_epoch_shows_each_pair_once_and_epochs_differ(examples: list[dict[str, Example]]) -> None:
    data = stream(examples)
    orders = []
    for _ in range(4):
        taken = epoch(data)
        shown = [pair_of(row) for batch in taken for row in batch["tokens"] if row[0]]
        assert sorted(shown) == list(range(PAIRS))
        orders.append(shown)
    assert len(set(map(tuple, orders))) == 4
    other = [pair_of(row) for batch in epoch(stream(examples, seed=4)) for row in batch["tokens"] if row[0]]
    assert other not in orders


def test_batches_of_all_lengths_are_mixed_and_modes_are_drawn(examples: list[dict[str, Example]]) -> None:
    data = stream(examples)
    lengths = [batch["tokens"].shape[1] for batch in epoch(data)]
    assert lengths != sorted(lengths) and len(set(lengths)) >= 3
    modes = Counter(bool(row[0] % 2000 > 1000) for batch in islice(data, 60) for row in batch["tokens"] if row[0])
    share = modes[True] / modes.total()
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / modes.total()) ** 0.5


@pytest.mark.parametrize("taken", [0, 1, 7, 40])
def test_a_restored_stream_goes_on_with_the_same_batches(examples: list[dict[str, Example]], taken: int) -> None:
    unbroken = stream(examples)
    for _ in range(taken):
        next(unbroken)
    state = unbroken.get_state()
    expected = list(islice(unbroken, 25))
    again = stream(examples)
    next(again)
    again.set_state(state)
    for one, other in zip(expected, islice(again, 25), strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


def test_grouping_wastes_less_where_a_row_holds_one_conversation() -> None:
    lengths = np.random.default_rng(1).integers(520, 1000, 400)
    made = [dict.fromkeys(("one_pass", "two_pass"), example(1, int(n))) for n in lengths]
    options = {"length": 1024, "rows": 8, "accumulation": 1, "multiple": 1, "two_pass_share": 0.0, "seed": 0}
    wasted = {
        batching: np.mean([
            np.mean(batch["segments"] == 0)
            for batch in islice(batches.stream(made, batching=batching, own=range, prefixes={}, **options), 60)
        ])
        for batching in ("packed", "grouped")
    }  # fmt: skip
    assert wasted["grouped"] < 0.12 < 0.2 < wasted["packed"]


def test_a_row_has_the_image_of_its_pair_and_others_files_are_not_read(tmp_path: Path) -> None:
    judge = seeing_judge.write_judge(tmp_path / "judge")
    tokenizer = hf.load_tokenizer(judge)
    conversation = Conversation(tokenizer, "compact-1", hf.load_processor(judge, tokenizer))
    pairs = seeing_judge.pairs(tmp_path / "images", 12)
    made = batches.training_examples(conversation, pairs, length=512, severity_weight=1.0)

    def drawn(own: list[int]) -> list[Batch]:
        grouping = Grouping(512, 2, 1, 1)
        data = grouped(made, grouping=grouping, two_pass_share=0.5, seed=0, own=lambda rows: own)
        return list(islice(data, 6))

    whole, half = drawn([0, 1]), drawn([1])
    seen = 0
    for batch, part in zip(whole, half, strict=True):
        assert batch["images"].shape[1:] == (1, *conversation.processor.shape)
        for row in range(2):
            image = made[number - 1]["one_pass"].image if (number := batch["examples"][row, 0]) else None
            expected = np.zeros_like(batch["images"][row, 0]) if image is None else image.pixels()
            np.testing.assert_array_equal(batch["images"][row, 0], expected)
            np.testing.assert_array_equal(part["images"][row], batch["images"][row] if row == 1 else 0)
            seen += image is not None
    assert seen > 3
    blind = [dataclasses.replace(pair, image=None) for pair in pairs]
    unseen = batches.training_examples(conversation, blind, length=512, severity_weight=1.0)
    assert "images" not in next(stream(unseen, grouping=Grouping(512, 2, 1, 1)))
