"""The two sides of the comparison do the same work: the same answers from the same prompts, by other programs."""

import dataclasses

import numpy as np
import pytest
import random_judge

from reeval import embedded, pairs, verdicts
from reeval.bench import checkpoint, figures
from reeval.bench.ours import Ours
from reeval.bench.peer import Peer, Steering, Tables
from reeval.bench.task import Task
from reeval.decode import grammar

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Task:
    directory = tmp_path_factory.mktemp("bench")
    checkpoint.write_random(directory / "model", "tiny", embedded.DIRECTORY, "float32")
    pairs.write(directory / "pairs.jsonl", random_judge.pairs(9))
    return Task(
        model=directory / "model",
        pairs=directory / "pairs.jsonl",
        count=7,
        prompt="compact-1",
        mode="one_pass",
        dtype="float32",
        slots=3,
        max_answer_tokens=40,
        steered=True,
    )


def test_both_sides_give_the_same_answers_in_two_passes(task):
    task = dataclasses.replace(task, mode="two_pass")
    side = Ours(task)
    ours, theirs = side.run().answers, Peer(task).run(4).answers
    assert figures.same(ours, theirs) == {"pairs": 7, "of": 7}
    assert len({str(turns) for turns in ours}) > 3  # or the comparison means little
    stages = side.stages()
    assert stages["second"] == len(side.work.conversation.second) * sum(len(turns) == 2 for turns in ours) > 0
    assert stages["used"] == sum(len(turn) + 1 for turns in ours for turn in turns)


@pytest.fixture(scope="module")
def peer(task) -> Peer:
    return Peer(task)


def test_answers_parse_and_keep_to_the_budget_whatever_the_batch(task, peer):
    first = peer.run(1).answers
    for turns in first:
        (tokens,) = turns
        assert len(tokens) <= task.max_answer_tokens
        verdicts.parse(peer.work.conversation.text(tokens))
    assert peer.run(3).answers == peer.run(7).answers == first


def test_answers_are_free_without_the_grammar(task):
    free = Peer(dataclasses.replace(task, steered=False))
    texts = [free.work.conversation.text(turns[0]) for turns in free.run(7).answers]
    with pytest.raises(verdicts.VerdictFormatError):
        for text in texts:
            verdicts.parse(text)
    assert abs(free.steering_seconds(4)) < 1


def test_what_the_grammar_costs_and_the_prefill_are_measured(peer):
    assert abs(peer.steering_seconds(4)) < 1
    seconds = peer.run(4).seconds
    stages = peer.stages()
    assert 0 < stages["prefill_seconds"] < seconds == stages["seconds"]
    assert sorted(stages["prefilled"]) == sorted(map(len, peer.work.prompts))
    assert peer.peak_memory() > 10**8


def test_a_token_is_allowed_if_its_way_to_the_end_fits():
    import torch

    # 0 -a-> 1 -a-> 2 -end-> 3, 0 -b-> 2: tokens 0 (a), 1 (b), 2 (end), 3 (never).
    tables = grammar.Grammar(
        class_V=np.asarray([0, 1, 2, 3], np.int32),
        next_SC=np.asarray([[1, 2, -1, -1], [2, -1, -1, -1], [-1, -1, 3, -1], [-1] * 4], np.int32),
        distance_S=np.asarray([2, 2, 1, 0], np.int32),
        decides_SC=np.zeros((4, 4), np.int8),
        first=0,
        second_L=np.zeros(0, np.int32),
    )
    for left, allowed in ((3, [True, True, False, False]), (2, [False, True, False, False])):
        steering = Steering(Tables(tables, "cpu"), [0], left)
        scores = steering(torch.zeros(1, 5, dtype=torch.long), torch.zeros(1, 4))
        assert (scores[0] == 0).tolist() == allowed
    # After b, only the end; behind the end, nothing leads on, whatever stands there.
    assert (steering(torch.tensor([[9, 1]]), torch.zeros(1, 4))[0] == 0).tolist() == [False, False, True, False]
    for token in (2, 2, 0):
        scores = steering(torch.tensor([[9, token]]), torch.zeros(1, 4))
    assert steering.state_B.tolist() == [3] and not torch.isnan(scores).any()
