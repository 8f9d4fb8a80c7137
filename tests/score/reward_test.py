"""The reward function by itself; `called_by_others_test` has TRL call it."""

import pickle

import pytest

import reeval
from reeval.score import reward as module
from reeval.score.metric import Scores
from reeval.score.scorer import Sample

REFERENCE = "No pleural effusion. The heart is normal."


@pytest.fixture(scope="module")
def reward():
    return reeval.load_reward("embedded", slots=2, max_answer_tokens=96, max_prompt_tokens=200)


def test_texts_and_messages_get_the_metrics_scores(reward):
    metric = reeval.load_metric("embedded", slots=2, max_answer_tokens=96)
    candidates = ["No pleural effusion. The heart is normal.", "Large left pleural effusion."]
    scores = metric(references=[REFERENCE] * 2, candidates=candidates)
    expected = [sample.score for sample in scores.samples]
    assert expected[0] - expected[1] > 0.2
    assert reward(prompts=["p"] * 2, completions=candidates, reference=[REFERENCE] * 2) == pytest.approx(expected, 1e-4)
    messages = [
        [{"role": "assistant", "content": candidates[0]}],
        [
            {"role": "assistant", "content": "I look it up."},
            {"role": "tool", "content": "nothing"},
            {"role": "assistant", "content": [{"type": "text", "text": candidates[1]}]},
        ],
    ]
    assert reward(completions=messages, reference=[REFERENCE] * 2) == pytest.approx(expected, 1e-4)


def test_what_cannot_be_judged_has_none_and_the_rest_has(reward):
    logged = {}
    completions = [" \n", "Effusion. " * 90, "<|im_end|>", "No pleural effusion.", "Normal.", "Normal.", []]
    references = [*[REFERENCE] * 4, None, " ", REFERENCE]
    found = reward(completions=completions, reference=references, log_metric=logged.__setitem__)
    assert [value is None for value in found] == [True, True, True, False, True, True, True]
    assert 0 <= found[3] <= 1
    assert logged == {"reeval/without_reward": 6 / 7}


def test_unparsed_has_none_and_all_are_judged_at_once(monkeypatch):
    calls = []

    def metric(*, references, candidates, refuse):
        calls.append((references, candidates, refuse))
        return Scores((Sample(pair_id="1", parse_status="no"), Sample(pair_id="2", score=0.5, parse_status="ok")), "s")

    monkeypatch.setattr(module, "load_metric", lambda model, **settings: metric)
    reward = reeval.load_reward("any", reference="findings", name="judge")
    assert reward.__name__ == "judge"
    assert reward(completions=["a", "", "b"], findings=["x", "y", "z"], other=[1, 2, 3]) == [None, None, 0.5]
    assert calls == [(["x", "z"], ["a", "b"], False)]


def test_of_messages_the_assistants_last_one_is_the_report():
    calls = {"role": "assistant", "content": "Looking it up."}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "Nor"}, {"type": "text", "text": "mal."}]}
    assert module._text([calls, {"role": "tool", "content": "x"}, answer]) == "Normal."
    assert module._text([answer, {"role": "tool", "content": "x"}]) == "Normal."
    assert module._text([{"content": "Normal."}]) == "Normal."
    assert module._text([{"role": "user", "content": "x"}]) == module._text([{"role": "assistant"}]) == ""


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"ground_truth": ["x"]}, "no column 'reference'"), ({"reference": ["x", "y"]}, "2 references and 1 completions")],
)
def test_data_without_references_is_refused(reward, columns, said):
    with pytest.raises(ValueError, match=said):
        reward(completions=["a"], **columns)


def test_workers_of_trl_can_be_sent_it(reward):
    copy = pickle.loads(pickle.dumps(reward))
    assert copy.__name__ == "reeval" and copy.signature == reward.signature
