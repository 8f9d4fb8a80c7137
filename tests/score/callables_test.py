"""The metric under other tools' signatures says what the metric says."""

import json
import pickle

import pytest

import reeval
from reeval.score import callables
from reeval.score.metric import Scores
from reeval.score.scorer import Sample

REFERENCES = ["Small right effusion.", "No pleural effusion.", "The heart is enlarged."]
CANDIDATES = ["Small left effusion.", "No pleural effusion.", ""]
FAST = {"slots": 2, "max_answer_tokens": 96}


class Stub:
    """A metric that scores by the candidate: its text as a number, none for anything else."""

    def __init__(self):
        self.refused = []

    def __call__(self, *, references, candidates, refuse):
        self.refused.append(refuse)
        scores = [float(c) if c[:1].isdigit() else None for c in candidates]
        samples = (Sample(pair_id=str(n), score=s, parse_status="") for n, s in enumerate(scores))
        return Scores(tuple(samples), "the signature")


@pytest.fixture
def stub(monkeypatch):
    stub = Stub()
    monkeypatch.setattr(callables, "load_metric", lambda model, **settings: stub)
    return stub


def test_all_give_the_metrics_scores():
    scores = reeval.load_metric("embedded", **FAST)(references=REFERENCES, candidates=CANDIDATES)
    assert len({sample.score for sample in scores.samples}) > 1
    like_evaluate = reeval.load_evaluate("embedded", **FAST)
    found = like_evaluate.compute(predictions=CANDIDATES, references=REFERENCES)
    assert found == scores.to_dict() == json.loads(json.dumps(found)) | {"bounds": scores.bounds}
    assert found["signature"] == scores.signature and found["scores"] == [s.score for s in scores.samples]
    like_radeval = reeval.load_radeval("embedded", per_sample=True, **FAST)
    assert like_radeval(refs=REFERENCES, hyps=CANDIDATES) == {
        "reeval": found["scores"],
        "reeval_signature": scores.signature,
    }


def test_what_was_collected_is_judged_in_its_order_and_then_forgotten(stub):
    metric = reeval.load_evaluate("any")
    metric.add(prediction="0.25", reference="a")
    metric.add(references="a", predictions="1")
    metric.add_batch(predictions=("?", "0.5"), references=["a", "b"])
    assert len(metric) == 4
    found = metric.compute(predictions=["1"], references=["a"])
    assert found["scores"] == [0.25, 1.0, None, 0.5, 1.0]
    assert (found["mean"], found["bounds"], found["parse_failures"]) == (0.6875, (0.55, 0.75), 1)
    assert len(metric) == 0
    with pytest.raises(ValueError, match="nothing to judge"):
        metric.compute()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.compute(predictions=["1"]), "references are missing"),
        (lambda m: m.compute(references=["1"]), "predictions are missing"),
        (lambda m: m.compute(predictions="1", references="1"), "predictions is one text"),
        (lambda m: m.add_batch(predictions=["1"], references=["1", "2"]), "2 references and 1 predictions"),
        (lambda m: m.add(prediction="1"), "the reference is missing"),
    ],
)
def test_half_a_pair_is_refused(stub, call, said):
    with pytest.raises(ValueError, match=said):
        call(reeval.load_evaluate("any"))


@pytest.mark.parametrize("style", ["evaluate", "radeval"])
def test_arguments_go_by_name_alone(stub, style):
    made = {"evaluate": reeval.load_evaluate, "radeval": reeval.load_radeval}[style]("any")
    with pytest.raises(TypeError, match="positional"):
        (made.compute if style == "evaluate" else made)(["1"], ["1"])


def test_radevals_modes(stub):
    hyps = ["0.1", "0.22229", "?"]
    metric = reeval.load_radeval("any")
    assert metric(refs=["a"] * 3, hyps=hyps) == {"reeval": 0.1611, "reeval_signature": "the signature"}
    detailed = reeval.load_radeval("any", detailed=True)(refs=["a"] * 3, hyps=hyps)
    assert list(detailed) == metric.metric_keys(detailed=True)
    assert detailed["reeval_std"] == 0.0611 and detailed["reeval_parse_failures"] == 1
    assert (detailed["reeval_low"], detailed["reeval_high"]) == (0.1074, 0.4408)
    assert metric(refs=[], hyps=[]) == {}
    assert metric(refs=["a"], hyps=["?"])["reeval"] is None


def test_radeval_itself_can_call_it(stub):
    """As its registry makes a metric, by keywords of a config, and calls it."""
    done = []
    metric = callables.RadEvalMetric(**{"model": "any"})
    found = metric.compute(
        ["a", "b"], ["0.5", "1"], per_sample=True, detailed=False, on_progress=lambda: done.append(1)
    )
    assert found["reeval"] == [0.5, 1.0] and len(done) == 2
    assert metric.display_name == "reeval" and metric.metric_keys() == ["reeval", "reeval_signature"]


@pytest.mark.parametrize("load", [reeval.load_evaluate, reeval.load_radeval])
def test_refusing_is_the_metrics_own(stub, load):
    for metric in (load("any"), load("any", refuse=False)):
        one = {"predictions": ["1"], "references": ["a"]}
        metric.compute(**one) if load is reeval.load_evaluate else metric(refs=["a"], hyps=["1"])
    assert stub.refused == [True, False]


def test_another_process_can_have_it():
    metric = pickle.loads(pickle.dumps(reeval.load_metric("embedded", mode="two_pass")))
    assert "mode:two_pass" in metric.signature
