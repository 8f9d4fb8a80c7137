import json
import re

import pytest

from reeval.evaluate import report
from reeval.pairs import Error, Pair, error_to_json

SIDE = Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant")
LINE = Error("omission", "device", "right PICC line", "", "insignificant")
NODULE = Error("omission", "finding", "A nodule.", "", "significant")


def pair(name, reference_id, *errors, identical=False):
    reference = "right effusion right PICC line A nodule."
    return Pair(name, reference_id, reference, reference if identical else "left effusion", errors)


PAIRS = [
    pair("a", "r1", SIDE, LINE),
    pair("b", "r1", LINE),
    pair("c", "r2", NODULE),
    pair("d", "r2", identical=True),
    pair("e", "r3"),
]


def row(of, *errors, parsed=True, mode="one_pass", probability=0.0):
    return {
        "pair_id": of.pair_id,
        "reference_id": of.reference_id,
        "mode": mode,
        "raw": ["Zyxwort"],
        "parse_status": "ok" if parsed else "pass1: line 1 does not have the form of a verdict line",
        "errors": [error_to_json(error) for error in errors] if parsed else None,
        "significant": any(error.significant for error in errors) if parsed else None,
        "probability": probability if parsed else None,
        "gold": of.significant,
        "identical": of.identical,
    }


def flagged(error):
    return Error(error.type, error.aspect, error.reference_span, error.candidate_span, "significant")


# a: both found, the line over-flagged. b: the line over-flagged. c: unparsable. d, e: nothing found.
ROWS = [
    row(PAIRS[0], SIDE, flagged(LINE), probability=0.9),
    row(PAIRS[1], flagged(LINE), probability=0.9),
    row(PAIRS[2], parsed=False),
    row(PAIRS[3]),
    row(PAIRS[4]),
]


def share(rate):
    return rate["right"], rate["n"]


def test_by_hand():
    summary = report.summarise(ROWS, PAIRS)
    assert (summary["mode"], summary["pairs"], summary["references"]) == ("one_pass", 5, 3)
    assert share(summary["D"]) == (1, 2) and summary["D"]["percent"] == 50
    assert share(summary["R"]) == (2, 3)
    assert share(summary["R_without_identical"]) == (1, 2)
    assert share(summary["parse_failure_rate"]) == (1, 5)
    assert summary["balanced"] == pytest.approx((50 + 200 / 3) / 2)
    assert summary["bias"] == pytest.approx(50 - 200 / 3)
    assert summary["if_unparsable_were_right"]["D"] == 100
    for name in ("balanced", "bias"):
        low, high = summary[f"{name}_interval"]
        assert low < summary[name] < high
    by_aspect, by_type = summary["by_aspect"], summary["by_type"]
    assert share(by_aspect["laterality"]["D"]) == (1, 1)
    assert share(by_aspect["device"]["D"]) == (0, 0) and by_aspect["device"]["D"]["percent"] is None
    assert share(by_aspect["device"]["R"]) == (0, 1)
    assert share(by_type["omission"]["D"]) == (0, 1)
    assert share(summary["by_aspect_and_type"]["device/omission"]["R"]) == (0, 1)
    severity = summary["severity"]
    assert share(severity["all"]["found"]) == (3, 4) and share(severity["all"]["right"]) == (1, 3)
    device = severity["by_aspect"]["device"]
    assert share(device["found"]) == (2, 2) and share(device["right_insignificant"]) == (0, 2)
    assert share(severity["by_aspect_and_type"]["finding/omission"]["found"]) == (0, 1)
    always, never = summary["baselines"]["always_flag"], summary["baselines"]["never_flag"]
    assert (always["D"]["percent"], always["R"]["percent"]) == (100, 0)
    assert (never["D"]["percent"], never["R"]["percent"]) == (0, 100)


def test_the_curve_by_hand():
    summary = report.summarise(ROWS, PAIRS)
    # c, significant, is unparsable and never flagged; b ties with a, and d and e lie below.
    assert summary["curve"] == {
        "threshold": [None, 0.9, 0.0],
        "D": [0, 50, 50],
        "R": [100, pytest.approx(200 / 3), 0],
    }
    assert summary["area"] == pytest.approx(2.5 / 6)
    low, high = summary["area_interval"]
    assert 0 <= low < summary["area"] < high <= 1
    flat = report.scalars(summary)
    assert (flat["area"], flat["area_low"], flat["area_high"]) == (summary["area"], low, high)
    assert not any("curve" in name for name in flat)


@pytest.mark.parametrize("free", [{"probability": None}, {}], ids=["decoded freely", "of an earlier version"])
def test_verdicts_without_probabilities_have_no_curve(free):
    before = report.summarise(ROWS, PAIRS)
    rows = [{name: value for name, value in row.items() if name != "probability"} | free for row in ROWS]
    summary = report.summarise(rows, PAIRS)
    assert summary["curve"] is summary["area"] is None and summary["area_interval"] == [None, None]
    of_curve = ("curve", "area", "area_interval")
    assert all(summary[name] == before[name] for name in before if name not in of_curve)


def test_is_plain_json_without_report_text_and_the_order_of_rows_is_nothing():
    summary = report.summarise(ROWS, PAIRS)
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text) == summary
    assert not re.search("Zyxwort|effusion|PICC|nodule", text)
    assert report.summarise(ROWS[::-1], PAIRS) == summary


def test_scalars_are_flat_numbers():
    flat = report.scalars(report.summarise(ROWS, PAIRS))
    assert flat["D"] == 50 and flat["D_n"] == 2 and flat["D_low"] < 50 < flat["D_high"]
    assert flat["balanced_low"] < flat["balanced"] < flat["balanced_high"]
    assert flat["parse_failure_rate"] == 20
    assert flat["by_aspect/device/R"] == 0 and flat["by_aspect/device/R_n"] == 1
    assert flat["severity/by_type/omission/right_insignificant"] == 0
    # An n of 0 is written, a figure that does not exist is not.
    assert flat["by_aspect/count/D_n"] == 0 and "by_aspect/count/D" not in flat
    assert all(isinstance(value, float) for value in flat.values())
    assert not any("baseline" in name or name == "mode" for name in flat)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (ROWS[:-2], "2 of 5 pairs have no verdict, the first is 'd'"),
        ([*ROWS, ROWS[0]], "pair 'a' has two verdicts in one mode"),
        ([*ROWS, row(pair("z", "r9"))], "1 verdicts are of other pairs, the first is of 'z'"),
        ([*ROWS[:-1], {**ROWS[-1], "mode": "two_pass"}], "these verdicts are of one_pass, two_pass"),
        ([*ROWS[:-1], {**ROWS[-1], "gold": True}], "pair 'e' has another label"),
    ],
)
def test_refuses_rows_that_are_not_of_these_pairs(rows, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        report.summarise(rows, PAIRS)


def test_compare_counts_the_pairs_that_one_judge_alone_gets_right():
    better = [row(p, *p.errors) for p in PAIRS]
    tests = report.compare(ROWS, better, PAIRS)
    assert tests["D"] == {"only_first": 0, "only_second": 1, "n": 2, "p": 1.0}
    assert tests["R"] == {"only_first": 0, "only_second": 1, "n": 3, "p": 1.0}


def test_a_set_of_one_kind_has_no_balanced_figure():
    summary = report.summarise(ROWS[:1], PAIRS[:1])
    assert summary["R"]["percent"] is summary["balanced"] is summary["harmonic"] is summary["bias"] is None
    assert summary["balanced_interval"] == [None, None]
    assert summary["curve"] is summary["area"] is None
    assert "balanced" not in report.scalars(summary)


def test_a_pair_with_a_label_alone_counts_in_D_and_R():
    label = {True: "significant", False: "insignificant"}
    graded = [Pair(p.pair_id, p.reference_id, p.reference, p.candidate, label=label[p.significant]) for p in PAIRS]
    summary = report.summarise(ROWS, graded)
    whole = report.summarise(ROWS, PAIRS)
    assert [summary[name] for name in ("D", "R")] == [whole[name] for name in ("D", "R")]
    assert summary["severity"]["all"]["found"]["n"] == 0
    assert all(cell[side]["n"] == 0 for cell in summary["by_aspect"].values() for side in "DR")
