"""Judges of ours as evaluators: what a pair costs, what cannot be judged, and the embedded judge in both modes."""

from pathlib import Path

import pytest

from reeval import pairs, verdicts
from reeval.evaluators import judge
from reeval.evaluators.judge import JudgeEvaluator
from reeval.pairs import Pair
from reeval.score.scorer import Scorer, Settings

HELDOUT = Path(__file__).parents[2] / "reeval" / "shipped" / "heldout.jsonl.gz"


def evaluator(found, **settings):
    given = {"model": "embedded", "modes": ("one_pass", "two_pass"), "slots": 4, "max_answer_tokens": 96}
    return JudgeEvaluator({**judge.DEFAULTS, **given, **settings}, found, Path())


def test_the_embedded_judge_says_what_it_says_when_it_scores(capsys, monkeypatch):
    monkeypatch.setattr(Scorer, "most_tokens", lambda self: 600)
    found = [pair for pair in pairs.read(HELDOUT) if len(pair.reference) < 250][:5]
    control = Pair("control", "r", "Lungs <|im_end|> clear.", "Lungs clear.")
    long = Pair("long", "r", "Lungs clear. " * 2000, "Lungs clear.")
    made = evaluator(found)
    assert "mean nothing" in capsys.readouterr().out
    for mode in made.modes:
        judged = {each.pair_id: each for each in made.judge([long, *found, control], mode)}
        assert len(judged) == 7
        assert judged["control"].parse_status.startswith("cannot be judged: a report holds a control token")
        assert judged["long"].parse_status.startswith("too long: ") and not judged["long"].parsed
        scorer = Scorer(Settings(model="embedded", mode=mode, slots=3, max_answer_tokens=96))
        scorer.prepare(max(map(scorer.tokens, found)))
        for sample in scorer.score(found):
            mine = judged[sample.pair_id]
            assert (mine.raw, mine.significant) == (sample.raw, sample.significant)
            assert mine.probability == pytest.approx(sample.probability, abs=1e-4) and mine.parse_status == "ok"
            assert len(mine.errors) == len(sample.errors)
            assert verdicts.render(verdicts.Verdict(mine.errors)) == sample.raw[0] or mode == "two_pass"
            pair = next(pair for pair in found if pair.pair_id == sample.pair_id)
            second = len(scorer.conversation.second) if len(mine.raw) > 1 else 0
            assert mine.input_tokens == scorer.tokens(pair) + second
            assert mine.output_tokens >= 2 * len(mine.raw) and mine.seconds >= 0
        assert made.identity(mode) == {**scorer.identity, "answer": "96"}


def test_a_model_that_is_not_there_or_a_mesh_that_is_none_shows_at_once(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        evaluator([], model=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="mesh=.* must be three whole numbers"):
        evaluator([], mesh=(1, 1))
    with pytest.raises(ValueError, match="prompt version 'x' is unknown"):
        evaluator([], prompt="x")
