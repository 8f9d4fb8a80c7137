"""The metric's arguments and what it says of many pairs; that it equals the command stands in command_test."""

import subprocess
import sys

import pytest

import reeval
from reeval.score.metric import Scores
from reeval.score.scorer import Sample


@pytest.fixture(scope="module")
def metric():
    return reeval.load_metric("embedded", slots=2, max_answer_tokens=96)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"references": ["A."], "candidates": []}, "1 references and 0 candidates"),
        ({"references": "A.", "candidates": "B."}, "references is one text"),
        ({"references": ["A.", " "], "candidates": ["B.", "C."]}, "pair 2: the reference is empty"),
        ({"references": ["A."], "candidates": [None]}, "pair 1: the candidate is a NoneType; give one text"),
        ({"references": [["A.", "B."]], "candidates": ["B."]}, "pair 1: the reference is a list; give one text"),
        ({"references": ["A.", "B."], "candidates": ["B.", "C."], "ids": ["x", "x"]}, "ids must differ"),
    ],
)
def test_lists_that_make_no_pairs_are_refused(metric, arguments, said):
    with pytest.raises(ValueError, match=said):
        metric(**arguments)


def test_too_long_a_pair_is_refused():
    short = reeval.load_metric("embedded", max_prompt_tokens=30)
    with pytest.raises(ValueError, match=r"pair 2 has a prompt of \d+ tokens, and 30 is the most"):
        short(references=["A.", "No pleural effusion. " * 20], candidates=["B.", "C."])


def test_a_signature_is_known_before_anything_is_scored(metric):
    parts = dict(part.split(":") for part in metric.signature.split("|"))
    assert parts["reeval"] == reeval.__version__ and parts["prompt"] == "compact-1" and parts["mode"] == "one_pass"
    other = reeval.load_metric("embedded", mode="two_pass", temperature=1.0, seed=3, max_answer_tokens=96)
    differing = {part.split(":")[0] for part in set(metric.signature.split("|")) ^ set(other.signature.split("|"))}
    assert differing == {"mode", "temperature", "seed"}
    assert metric(references=[], candidates=[]).mean is None


def test_an_empty_candidate_is_judged_and_more_pairs_than_before_too(metric):
    few = metric(references=["No pleural effusion."], candidates=[""])
    assert few.parse_failures == 0 and 0 <= few.samples[0].score <= 1
    more = metric(references=["No pleural effusion. " * 8, "No pleural effusion."], candidates=["Normal.", ""])
    assert more.samples[1].raw == few.samples[0].raw


def test_ever_longer_prompts_are_not_compiled_one_by_one(monkeypatch):
    """Room doubles, up to what the judge can be given."""

    class Growing:
        signature, room, rooms = "s", 0, []

        def tokens(self, pair):
            return len(pair.candidate)

        def most_tokens(self):
            return 45

        def prepare(self, longest):
            self.room = max(self.room, longest)
            self.rooms.append(self.room)

        def score(self, pairs):
            return (Sample(pair_id=pair.pair_id, score=1.0, parse_status="ok") for pair in pairs)

    metric, scorer = reeval.load_metric("any"), Growing()
    monkeypatch.setattr(metric, "_scorer", lambda images: scorer)
    for length in (10, 9, 11, 12, 20, 21, 40, 45):
        assert metric(references=["A."], candidates=["x" * length]).mean == 1.0
    assert Growing.rooms == [10, 10, 20, 20, 20, 40, 40, 45]
    mixed = metric(references=["A."] * 2, candidates=["x" * 46, "x"], refuse=False)
    assert [sample.score for sample in mixed.samples] == [None, 1.0]
    assert mixed.samples[0].parse_status == "pair 1 has a prompt of 46 tokens, and 45 is the most"
    with pytest.raises(ValueError, match="45 is the most"):
        metric(references=["A."], candidates=["x" * 46])


def test_what_has_no_score_widens_the_bounds():
    samples = (Sample(pair_id="1", score=1.0, parse_status="ok"), Sample(pair_id="2", parse_status="pass 1: no"))
    scores = Scores(samples, "s")
    assert (scores.mean, scores.bounds, scores.parse_failures) == (1.0, (0.5, 1.0), 1)


def test_the_package_is_light_until_a_judge_is_wanted():
    code = "import sys, reeval; assert not {'jax', 'transformers', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
