"""Scalar metrics: the libraries' own figures, higher for the better candidate, and columns of others' files."""

import json

import pytest
import sacrebleu
from rouge_score import rouge_scorer

from reeval.evaluators import scalar
from reeval.evaluators.files import MISSING
from reeval.evaluators.scalar import ScalarEvaluator
from reeval.pairs import Pair

REFERENCE = "The lungs are clear. No effusion or pneumothorax. Heart size is normal."
CANDIDATES = [REFERENCE, "The lungs are clear. Small effusion. Heart size is normal.", "Bilateral consolidation."]
PAIRS = [Pair(f"p{n}", "r", REFERENCE, text) for n, text in enumerate(CANDIDATES)]


def scores(pairs=PAIRS, **settings):
    made = ScalarEvaluator({**scalar.DEFAULTS, **settings}, pairs, None)
    found = {each.pair_id: each for each in made.judge(pairs, "scalar")}
    assert found.keys() == {pair.pair_id for pair in pairs}
    return found, made.identity("scalar")


def test_figures_are_those_of_the_libraries():
    second = CANDIDATES[1]
    rouge = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(REFERENCE, second)
    expected = {
        "bleu": sacrebleu.sentence_bleu(second, [REFERENCE], use_effective_order=True).score,
        "chrf": sacrebleu.sentence_chrf(second, [REFERENCE]).score,
        "ter": -sacrebleu.sentence_ter(second, [REFERENCE]).score,
        **{name: rouge[name].fmeasure for name in rouge},
    }
    for name, value in expected.items():
        found, _ = scores(metric=name)
        assert found["p1"].score == pytest.approx(value), name
        assert found["p1"].significant is None and found["p1"].errors is None and found["p1"].parse_status == "ok"


@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter", "rouge1", "rouge2", "rougeL"])
def test_higher_is_better_and_the_signature_has_the_version(metric):
    found, identity = scores(metric=metric)
    assert found["p0"].score > found["p1"].score > found["p2"].score
    assert identity["metric"] == metric and "version:" in identity["signature"]


def test_a_column_of_a_file_in_either_direction(tmp_path, capsys):
    path = tmp_path / "s.csv"
    path.write_text("study_id,radcliq\np0,0.1\np1,much effusion\np1,0.3\nother,1\n")
    settings = {"metric": "column", "file": str(path), "column": "radcliq"}
    found, identity = scores(**settings, higher_is_better=False)
    assert found["p0"].score == -0.1 and found["p1"].parse_status == "the score is no number"
    assert found["p2"].parse_status == MISSING and not found["p2"].parsed
    assert identity["column"] == "radcliq" and identity["better"] == "lower"
    said = capsys.readouterr().err
    assert "row 2" in said and "effusion" not in said and "1 rows of pairs that the study does not have" in said
    assert scores(**settings)[0]["p0"].score == 0.1


@pytest.mark.parametrize("value", ["", "nan", "inf", None, True, [1]])
def test_what_is_no_number_is_a_failure(tmp_path, value):
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps({"pair_id": i, "x": v}) + "\n" for i, v in (("p0", value), ("p1", 2))))
    found, _ = scores(metric="column", file=str(path), column="x")
    assert found["p0"].parse_status == "the score is no number" and found["p1"].score == 2.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"metric": "column"}, "needs file and column"),
        ({"metric": "bleu", "column": "x"}, "go with 'column'"),
        ({"metric": "column", "file": "nowhere.csv", "column": "x"}, "nowhere.csv: no such file"),
    ],
)
def test_settings_that_do_not_go_together(settings, said):
    with pytest.raises(ValueError, match=said):
        scores(**settings)


def test_a_file_without_the_column_is_one_line(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("pair_id,y\np0,1\n")
    with pytest.raises(ValueError, match=r"row 1.*no column 'x'; none of 1 rows can be used"):
        scores(metric="column", file=str(path), column="x")
