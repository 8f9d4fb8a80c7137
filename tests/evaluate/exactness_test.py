"""The embedded judge on real pairs: the same rows as by a loop of one pair and one token at a time."""

import functools
import math
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np
import pytest
from flax import nnx
from plain_judge import PlainJudge

from reeval import embedded, hf, pairs, sharding, verdicts
from reeval.data.conversation import Conversation
from reeval.decode.engine import Request, Turn
from reeval.decode.grammar import compile_grammar
from reeval.evaluate.judge import Judge
from reeval.pairs import Pair
from reeval.prompts import MODES

PAIRS, PROMPT, ANSWER = 12, 160, 64


@pytest.fixture(scope="module")
def model() -> nnx.Module:
    return hf.load_model(embedded.DIRECTORY, mesh=sharding.single_device_mesh())


@pytest.fixture(scope="module")
def conversation() -> Conversation:
    return Conversation(hf.load_tokenizer(embedded.DIRECTORY), "compact-1")


@pytest.fixture(scope="module")
def given(conversation: Conversation) -> list[Pair]:
    """Held-out pairs of all kinds whose prompts are short enough for a loop without a cache."""
    shipped = pairs.read(str(resources.files("reeval") / "shipped" / "heldout.jsonl.gz"))
    short = [pair for pair in shipped if max(len(conversation.prompt(mode, pair)) for mode in MODES) <= PROMPT]
    return short[:: len(short) // PAIRS][:PAIRS]


@pytest.fixture(scope="module")
def plain_rows(model: nnx.Module, conversation: Conversation, given: list[Pair]) -> Callable[[str], dict[str, Any]]:
    """Mode -> pair_id -> what the loop gives."""

    @functools.cache
    def judged(mode: str) -> dict[str, Any]:
        end, tokenizer = conversation.end, conversation.tokenizer
        two = mode == "two_pass"
        grammar = compile_grammar(tokenizer, model.config.vocab_size, end, mode, max_answer_tokens=ANSWER)
        second = conversation.second if two else []
        length = PROMPT + 2 * ANSWER + len(second)
        loop = PlainJudge(model, grammar, second=second, end=end, max_answer_tokens=ANSWER, length=length)

        def lines(request: Request, turn: Turn) -> int:
            return len(verdicts.parse_spans(conversation.text(turn.tokens)))

        turns = loop.run([Request(pair, conversation.prompt(mode, pair)) for pair in given], lines)
        return {pair.pair_id: row(mode, *told) for pair, told in zip(given, turns, strict=True)}

    def row(mode: str, first: Turn, *second: Turn) -> dict[str, Any]:
        raw = [conversation.text(turn.tokens) for turn in (first, *second)]
        if mode == "one_pass":
            verdict = verdicts.parse(raw[0])
        else:
            spans = verdicts.parse_spans(raw[0])
            verdict = verdicts.parse_severities(raw[1], spans) if spans else verdicts.Verdict()
        odds = (second or (first,))[0].log_odds
        return {"raw": raw, "significant": verdict.significant, "probabilities": [1 / (1 + math.exp(-x)) for x in odds]}

    return judged


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("slots", [1, 3, PAIRS + 4])
def test_rows_are_those_of_one_pair_at_a_time(
    model: nnx.Module,
    conversation: Conversation,
    given: list[Pair],
    plain_rows: Callable[[str], dict[str, Any]],
    mode: str,
    slots: int,
) -> None:
    expected = plain_rows(mode)
    graph, weights = nnx.split(model)
    judge = Judge(
        graph,
        conversation,
        sharding.single_device_mesh(),
        slots=slots,
        max_prompt_tokens=PROMPT,
        max_answer_tokens=ANSWER,
    )
    shuffled = [given[i] for i in np.random.default_rng(slots).permutation(len(given))]
    rows = {row["pair_id"]: row for row in judge.judge(weights, shuffled, mode)}
    assert rows.keys() == expected.keys() and len(rows) == PAIRS
    for name, row in rows.items():
        assert row["parse_status"] == "ok", name
        assert (row["raw"], row["significant"]) == (expected[name]["raw"], expected[name]["significant"]), name
        assert row["probabilities"] == pytest.approx(expected[name]["probabilities"], abs=1e-4), name
    # They are no rows of one kind, though this judge, fresh from the package, flags nearly every error.
    assert len({tuple(row["raw"]) for row in rows.values()}) > PAIRS // 2
    assert len({round(p, 3) for row in rows.values() for p in row["probabilities"]}) > PAIRS // 2
