"""Verdict rows of a judge that has learned by heart what to say."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import taught_judge
from families import both
from flax import nnx

from reeval import hf, prompts, sharding
from reeval.data.conversation import Conversation
from reeval.evaluate.judge import Judge, read_answers
from reeval.pairs import Pair, error_to_json

Made = tuple[Judge, nnx.State]


def make(directory: Path, *, batch_size: int = 8, mesh: tuple[int, int, int] = (1, 1, 1), **changes: int) -> Made:
    on = sharding.make_mesh(mesh, jax.devices()[: np.prod(mesh)])
    graph, weights = nnx.split(hf.load_model(directory, mesh=on))
    conversation = Conversation(hf.load_tokenizer(directory), taught_judge.PROMPT)
    options = {"max_prompt_tokens": 64, "max_answer_tokens": taught_judge.MAX_ANSWER_TOKENS} | changes
    return Judge(graph, conversation, on, batch_size=batch_size, **options), weights


@pytest.fixture(scope="module")
def made_of(judge_of: Callable[[str], Path]) -> Callable[[str], Made]:
    return functools.cache(lambda family: make(judge_of(family)))


@pytest.fixture
def made(family: str, made_of: Callable[[str], Made]) -> Made:
    return made_of(family)


def verdicts(made: Made, pairs: list[Pair], mode: str) -> dict[str, dict[str, Any]]:
    judge, weights = made
    batches = list(judge.judge(weights, pairs, mode))
    assert [len(batch) for batch in batches[:-1]] == [judge.batch_size] * (len(batches) - 1)
    rows = [row for batch in batches for row in batch]
    assert sorted(row["pair_id"] for row in rows) == sorted(pair.pair_id for pair in pairs)
    return {row["pair_id"]: row for row in rows}


@both
@pytest.mark.parametrize("mode", prompts.MODES)
def test_every_kind_of_answer_becomes_its_row(made: Made, mode: str) -> None:
    rows = verdicts(made, list(taught_judge.PAIRS), mode)
    for pair in taught_judge.PAIRS:
        name, row = pair.pair_id, rows[pair.pair_id]
        well = (name, mode) not in taught_judge.STATUSES
        status, significant = ("ok", pair.significant) if well else taught_judge.STATUSES[name, mode]
        errors = pair.errors if well else None if significant is None else ()
        said = taught_judge.ANSWERS[name, mode]
        if name == "endless":  # cut by the budget
            (raw,) = row["raw"]
            assert said[0].startswith(raw) and 0 < len(raw) < len(said[0])
            said = row["raw"]
        assert row == {
            "pair_id": name,
            "reference_id": pair.reference_id,
            "mode": mode,
            # A second turn is asked where the first found something, and nowhere else.
            "raw": said,
            "parse_status": status,
            "errors": None if errors is None else [error_to_json(error) for error in errors],
            "significant": significant,
            "gold": pair.significant,
            "identical": name == "same",
        }


def test_no_second_turn_where_no_first_turn_found_anything(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, _ = made
    monkeypatch.setattr(judge.decoder, "go_on", None)
    pairs = [pair for pair in taught_judge.PAIRS if pair.pair_id in ("same", "missed", "bad", "endless")]
    assert len(verdicts(made, pairs, "two_pass")) == 4
    with pytest.raises(TypeError):
        verdicts(made, list(taught_judge.PAIRS), "two_pass")


@pytest.mark.parametrize("mode", prompts.MODES)
@pytest.mark.parametrize(
    ("family", "batch_size", "mesh"),
    [("qwen3", 1, (1, 1, 1)), ("qwen3", 3, (1, 1, 1)), ("qwen3", 8, (2, 2, 2)), ("gemma3", 8, (2, 2, 2))],
)
def test_neither_batch_size_nor_order_nor_mesh_changes_a_verdict(
    made: Made, judge_directory: Path, mode: str, batch_size: int, mesh: tuple[int, int, int]
) -> None:
    pairs = taught_judge.many(2)
    expected = verdicts(made, pairs, mode)
    shuffled = [pairs[i] for i in np.random.default_rng(batch_size).permutation(len(pairs))]
    assert verdicts(make(judge_directory, batch_size=batch_size, mesh=mesh), shuffled, mode) == expected
    assert len({row["parse_status"] for row in expected.values()}) >= 3


def test_prompts_that_are_too_long_are_named_and_never_cut(judge_directory: Path) -> None:
    judge, weights = make(judge_directory, max_prompt_tokens=47)
    lengths = {pair.pair_id: len(judge.conversation.prompt("one_pass", pair)) for pair in taught_judge.PAIRS}
    long = {name: n for name, n in lengths.items() if n > 47}
    assert 0 < len(long) < len(lengths)
    with pytest.raises(ValueError) as caught:
        next(judge.judge(weights, list(taught_judge.PAIRS), "one_pass"))
    message = str(caught.value)
    assert f"{len(long)} pairs have prompts of more than config.eval.max_prompt_tokens=47 tokens" in message
    assert all((f"{name} ({n})" in message) == (name in long) for name, n in lengths.items())


@both
def test_a_prompt_of_the_longest_length_has_room_for_both_turns(judge_directory: Path) -> None:
    both = taught_judge.PAIRS[2]
    judge, _ = make(judge_directory)
    longest = len(judge.conversation.prompt("two_pass", both))
    first, second = (judge.conversation.answer(text) for text in taught_judge.ANSWERS["both", "two_pass"])
    exact = make(judge_directory, batch_size=1, max_prompt_tokens=longest, max_answer_tokens=len(first))
    row = verdicts(exact, [both], "two_pass")["both"]
    assert row["parse_status"] == "ok" and len(second) > 1
    tight = make(judge_directory, batch_size=1, max_prompt_tokens=longest, max_answer_tokens=len(first) - 1)
    assert verdicts(tight, [both], "two_pass")["both"]["parse_status"] == "pass 1: ran out of tokens"


def test_an_answer_that_did_not_end_is_none_even_if_it_would_parse() -> None:
    assert read_answers("one_pass", ["none"], [False]) == ("pass 1: ran out of tokens", None)
    spans = 'omission | device | "a line" => ""'
    assert read_answers("two_pass", [spans, "significant"], [True, False]) == ("pass 2: ran out of tokens", None)
    status, verdict = read_answers("two_pass", [spans, "significant"], [True, True])
    assert status == "ok" and verdict is not None and verdict.significant
    assert read_answers("two_pass", [spans, "significant\nsignificant"], [True, True])[1] is None
