"""Whatever the weights, the prompts and the temperature: every answer parses and none exceeds its budget."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx
from random_judge import write_judge

from reeval import hf, sharding, verdicts
from reeval.data.conversation import Conversation
from reeval.decode.engine import Engine, Request, Turn
from reeval.decode.grammar import compile_grammar

PROMPTS, BUDGET = 2000, 96


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Conversation]:
    directory = write_judge(tmp_path_factory.mktemp("judge"), num_hidden_layers=1)
    return directory, Conversation(hf.load_tokenizer(directory), "compact-1")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("mode", ["one_pass", "two_pass"])
def test_every_answer_parses_within_its_budget(
    judge: tuple[Path, Conversation], tmp_path: Path, mode: str, temperature: float
) -> None:
    directory, conversation = judge
    model = hf.load_model(directory)
    graph, weights = nnx.split(model)
    vocabulary, end = model.config.vocab_size, conversation.end
    grammar = compile_grammar(conversation.tokenizer, vocabulary, end, mode, max_answer_tokens=BUDGET, cache=tmp_path)
    noise = np.random.default_rng(0)
    prompts = [noise.integers(0, vocabulary, noise.integers(1, 12)).tolist() for _ in range(PROMPTS)]
    requests = [Request(i, prompt, seed=i) for i, prompt in enumerate(prompts)]
    engine = Engine(
        graph,
        sharding.single_device_mesh(),
        grammar,
        prefix=[],
        second=conversation.second if mode == "two_pass" else [],
        end=end,
        slots=256,
        max_prompt_tokens=12,
        max_answer_tokens=BUDGET,
        temperature=temperature,
    )
    parse: Any = verdicts.parse if mode == "one_pass" else verdicts.parse_spans

    def lines(request: Request, turn: Turn) -> int:
        return len(parse(conversation.text(turn.tokens)))

    lengths, errors = set(), 0
    for _, turns in engine.run(weights, requests, lines):
        for turn in turns:
            assert turn.finished and len(turn.tokens) <= BUDGET and end not in turn.tokens
            lengths.add(len(turn.tokens))
        found = parse(conversation.text(turns[0].tokens))
        found = found.errors if mode == "one_pass" else found
        assert len(turns) == 1 + (mode == "two_pass" and bool(found))
        if len(turns) == 2:
            verdicts.parse_severities(conversation.text(turns[1].tokens), found)
        assert len(turns[-1].log_odds) == len(found) or not found
        errors += len(found)
    # Most run into the budget, where they are steered to a legal end, and say something.
    assert max(lengths) == BUDGET
    assert errors > PROMPTS / 4
