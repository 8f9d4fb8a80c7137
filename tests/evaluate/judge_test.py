"""Verdict rows of a judge that has learned by heart what to say."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
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
from reeval.decode import memory
from reeval.evaluate.judge import Judge, read_answers
from reeval.pairs import Pair, error_to_json

Made = tuple[Judge, nnx.State]


def make(directory: Path, *, mesh: tuple[int, int, int] = (1, 1, 1), **changes: Any) -> Made:
    on = sharding.make_mesh(mesh, jax.devices()[: np.prod(mesh)])
    graph, weights = nnx.split(hf.load_model(directory, mesh=on))
    conversation = Conversation(hf.load_tokenizer(directory), taught_judge.PROMPT)
    options = {"slots": 8, "max_prompt_tokens": 64, "max_answer_tokens": taught_judge.MAX_ANSWER_TOKENS} | changes
    return Judge(graph, conversation, on, **options), weights


@pytest.fixture(scope="module")
def made_of(judge_of: Callable[[str], Path]) -> Callable[[str, bool], Made]:
    return functools.cache(lambda family, grammar: make(judge_of(family), grammar=grammar))


@pytest.fixture
def made(family: str, made_of: Callable[[str, bool], Made]) -> Made:
    """Held to the format."""
    return made_of(family, True)


@pytest.fixture
def made_free(family: str, made_of: Callable[[str, bool], Made]) -> Made:
    return made_of(family, False)


def verdicts(made: Made, pairs: Iterable[Pair], mode: str) -> dict[str, dict[str, Any]]:
    judge, weights = made
    pairs = list(pairs)
    rows = list(judge.judge(weights, iter(pairs), mode))
    assert sorted(row["pair_id"] for row in rows) == sorted(pair.pair_id for pair in pairs)
    return {row["pair_id"]: row for row in rows}


def without_probabilities(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {k: v for k, v in row.items() if "probabilit" not in k} for name, row in rows.items()}


def probabilities(rows: dict[str, dict[str, Any]]) -> list[float]:
    return [p for name in sorted(rows) for p in [rows[name]["probability"], *rows[name]["probabilities"]]]


@both
@pytest.mark.parametrize("mode", prompts.MODES)
def test_every_kind_of_answer_becomes_its_row(made_free: Made, mode: str) -> None:
    rows = verdicts(made_free, taught_judge.PAIRS, mode)
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
            "probability": None,
            "probabilities": None,
            "gold": pair.significant,
            "identical": name == "same",
        }


@both
@pytest.mark.parametrize("mode", prompts.MODES)
def test_held_to_the_format_every_answer_parses_and_the_good_ones_stay_as_they_are(
    made: Made, made_free: Made, mode: str
) -> None:
    rows, free = (verdicts(judge, taught_judge.PAIRS, mode) for judge in (made, made_free))
    assert {row["parse_status"] for row in rows.values()} == {"ok"}
    parsed = {name for name, row in free.items() if row["parse_status"] == "ok"}
    assert len(parsed) == 5
    for name, row in without_probabilities({name: rows[name] for name in parsed}).items():
        assert row == without_probabilities(free)[name]
    for row in rows.values():
        each = row["probabilities"]
        assert len(each) == len(row["errors"]) and row["probability"] == max(each, default=0.0)
        # Greedy: between two words that begin with different tokens the likelier one is said.
        assert all(0 <= p <= 1 for p in each)
    # What it has learned by heart it is sure of.
    assert rows["sig"]["probability"] > 0.95 and rows["insig"]["probability"] < 0.05
    small, side = rows["both"]["probabilities"]
    assert small < 0.05 and side > 0.95 and rows["same"]["probabilities"] == []


def test_no_second_turn_where_no_first_turn_found_anything(made_free: Made) -> None:
    judge, weights = made_free
    counts = judge.engine(weights, "two_pass").counts
    before = counts.second
    pairs = [pair for pair in taught_judge.PAIRS if pair.pair_id in ("same", "missed", "bad", "endless")]
    assert len(verdicts(made_free, pairs, "two_pass")) == 4
    assert counts.second == before
    verdicts(made_free, taught_judge.PAIRS, "two_pass")
    assert counts.second - before == 4 * len(judge.conversation.second)


@pytest.mark.parametrize("mode", prompts.MODES)
@pytest.mark.parametrize(
    ("family", "slots", "mesh"),
    [("qwen3", 1, (1, 1, 1)), ("qwen3", 8, (2, 2, 2)), ("gemma3", 40, (2, 2, 2))],
)
def test_neither_slots_nor_order_nor_mesh_changes_a_verdict(
    made: Made, judge_directory: Path, mode: str, slots: int, mesh: tuple[int, int, int]
) -> None:
    pairs = taught_judge.many(2)
    expected = verdicts(made, pairs, mode)
    shuffled = [pairs[i] for i in np.random.default_rng(slots).permutation(len(pairs))]
    found = verdicts(make(judge_directory, slots=slots, mesh=mesh), shuffled, mode)
    assert without_probabilities(found) == without_probabilities(expected)
    assert probabilities(found) == pytest.approx(probabilities(expected), abs=1e-4)
    assert len({tuple(row["raw"]) for row in expected.values()}) >= 4


def test_what_is_sampled_for_a_pair_depends_on_the_seed_and_the_pair_alone(judge_directory: Path) -> None:
    pairs = taught_judge.many(3)
    five, three = (
        make(judge_directory, slots=slots, seed=1, temperature=8.0, max_answer_tokens=24) for slots in (5, 3)
    )
    first, again = verdicts(five, pairs, "one_pass"), verdicts(three, pairs[::-2], "one_pass")
    assert all(first[name]["raw"] == row["raw"] for name, row in again.items())
    assert {row["parse_status"] for row in first.values()} == {"ok"}
    alike = [first[pair.pair_id]["raw"] for pair in pairs if taught_judge.kind(pair.pair_id) == "sig"]
    assert len({tuple(raw) for raw in alike}) > 1, "pairs of other ids are sampled alike"
    five[0].seed = 2
    other = verdicts(five, pairs, "one_pass")
    # Few answers are likely, so that two draws are often the same.
    assert sum(first[name]["raw"] != row["raw"] for name, row in other.items()) > len(pairs) // 4


def test_prompts_that_are_too_long_are_named_and_never_cut(judge_directory: Path) -> None:
    judge, weights = make(judge_directory, max_prompt_tokens=47)
    lengths = {pair.pair_id: len(judge.conversation.prompt("one_pass", pair)) for pair in taught_judge.PAIRS}
    long = {name: n for name, n in lengths.items() if n > 47}
    assert 0 < len(long) < len(lengths)
    with pytest.raises(ValueError) as caught:
        judge.prompts(taught_judge.PAIRS, "one_pass")
    message = str(caught.value)
    assert f"{len(long)} pairs have prompts of more than max_prompt_tokens=47 tokens" in message
    assert all((f"{name} ({n})" in message) == (name in long) for name, n in lengths.items())
    with pytest.raises(ValueError, match="1 pairs have prompts of more than max_prompt_tokens=47"):
        list(judge.judge(weights, taught_judge.PAIRS, "one_pass"))


def test_conversations_longer_than_the_model_was_made_for_are_refused(judge_directory: Path) -> None:
    second = len(make(judge_directory)[0].conversation.second)
    longest = 64 + second + 2 * 20
    make(judge_directory, max_answer_tokens=20, max_positions=longest)
    with pytest.raises(
        ValueError, match=f"of {longest} tokens, but the model has max_position_embeddings={longest - 1}"
    ):
        make(judge_directory, max_answer_tokens=20, max_positions=longest - 1)


def test_what_does_not_fit_the_device_is_refused(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, weights = made
    needs = judge.memory(weights, "two_pass")
    assert needs.total > needs.weights > 0
    monkeypatch.setattr(memory, "device_limit", lambda mesh: needs.total - 1)
    with pytest.raises(ValueError, match="8 slots of .* lower slots"):
        judge.memory(weights, "two_pass")


def test_a_pair_without_a_label_has_a_verdict_all_the_same(made: Made) -> None:
    pair = dataclasses.replace(taught_judge.PAIRS[0], errors=None)
    row = verdicts(made, [pair], "one_pass")["sig"]
    assert row["gold"] is None and row["significant"]


def test_a_prompt_of_the_longest_length_has_room_for_both_turns(judge_directory: Path) -> None:
    both = taught_judge.PAIRS[2]
    judge, _ = make(judge_directory)
    longest = len(judge.conversation.prompt("two_pass", both))
    first, second = (judge.conversation.answer(text) for text in taught_judge.ANSWERS["both", "two_pass"])
    tight = {"slots": 1, "max_prompt_tokens": longest, "grammar": False}
    exact = make(judge_directory, max_answer_tokens=len(first), **tight)
    row = verdicts(exact, [both], "two_pass")["both"]
    assert row["parse_status"] == "ok" and len(second) > 1
    short = make(judge_directory, max_answer_tokens=len(first) - 1, **tight)
    assert verdicts(short, [both], "two_pass")["both"]["parse_status"] == "pass 1: ran out of tokens"


def test_an_answer_that_did_not_end_is_none_even_if_it_would_parse() -> None:
    assert read_answers("one_pass", ["none"], [False]) == ("pass 1: ran out of tokens", None)
    spans = 'omission | device | "a line" => ""'
    assert read_answers("two_pass", [spans, "significant"], [True, False]) == ("pass 2: ran out of tokens", None)
    status, verdict = read_answers("two_pass", [spans, "significant"], [True, True])
    assert status == "ok" and verdict is not None and verdict.significant
    assert read_answers("two_pass", [spans, "significant\nsignificant"], [True, True])[1] is None
