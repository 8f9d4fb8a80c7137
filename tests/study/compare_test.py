"""The comparison of an invented study."""

import dataclasses
import json
import random

import pytest
from study_example import KINDS, SECRET, made, signatures

from reeval.judgements import Judgement
from reeval.pairs import Error, Pair
from reeval.study.compare import compare

FEW = {"resamples": 99, "permutations": 99}


def compared(pairs, judged, **more):
    kinds = {name: KINDS.get(name, "judge") for name in judged}
    return compare(pairs, judged, kinds=kinds, signatures=signatures(judged), **(FEW | more))


@pytest.fixture(scope="module")
def study():
    return made()


@pytest.fixture(scope="module")
def comparison(study):
    return compared(*study)


def test_is_plain_json_without_report_text(comparison):
    text = json.dumps(comparison, allow_nan=False)
    assert json.loads(text) == comparison
    assert SECRET.casefold() not in text.casefold() and "basilar" not in text


def test_the_order_of_pairs_and_judgements_makes_no_difference(study, comparison):
    pairs, judged = study
    rng = random.Random(5)

    def shuffled(rows):
        return rng.sample(list(rows), len(rows))

    again = compared(
        shuffled(pairs),
        {name: {mode: shuffled(rows) for mode, rows in modes.items()} for name, modes in judged.items()},
    )
    assert again == comparison


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[1:], "judge one_pass: 1 of 60 pairs are not judged, the first is 's0-0'"),
        (lambda rows: [*rows, rows[0]], "judge one_pass: 1 pairs are judged twice"),
        (
            lambda rows: [*rows, Judgement("z", "ok")],
            "judge one_pass: 1 judgements are of other pairs, the first is of",
        ),
    ],
)
def test_each_pair_is_judged_once(study, change, says):
    pairs, judged = study
    with pytest.raises(ValueError, match=says):
        compared(pairs, {"judge": {"one_pass": change(judged["judge"]["one_pass"])}})


SIDE = Error("inaccuracy", "laterality", "right", "left", "significant")
LINE = Error("omission", "device", "PICC", "", "insignificant")


def pair(name, reference, *errors, **more):
    return Pair(name, reference, f"right PICC {SECRET} {reference}", "left", more.pop("errors", errors), **more)


# Two labelled pairs a reference, and one with a rank alone.
PAIRS = [
    *(pair(f"a{i}", f"r{i}", SIDE, LINE) for i in range(4)),
    *(pair(f"b{i}", f"r{i}", LINE, metadata={"level": 0}) for i in range(4)),
    *(pair(f"c{i}", f"r{i}", errors=None, metadata={"rank": 2}) for i in range(4)),
]


def said(name, *errors, **more):
    return Judgement(name, "ok", errors=errors, significant=any(error.significant for error in errors), **more)


def flagged(one):
    return Error(one.type, one.aspect, one.reference_span, one.candidate_span, "significant")


# Right but for two: r0's line is over-flagged, r3's first pair not parsed.
RIGHT = [
    *(said(f"a{i}", SIDE, LINE, probability=0.9) for i in range(3)),
    Judgement("a3", "cut off", ("x",)),
    said("b0", flagged(LINE), probability=0.8),
    *(said(f"b{i}", LINE, probability=0.1) for i in range(1, 4)),
    *(said(f"c{i}", SIDE, flagged(LINE), probability=0.7) for i in range(4)),
]
ALWAYS = [Judgement(pair.pair_id, "ok", significant=True) for pair in PAIRS]


def test_by_hand():
    found = compared(PAIRS, {"judge": {"one_pass": RIGHT, "two_pass": ALWAYS}, "other": {"one_pass": ALWAYS}})
    of = found["pairs"]
    assert [of[name] for name in ("n", "references", "labelled", "significant", "insignificant", "with_level")] == [
        12, 4, 8, 4, 4, 8,
    ]  # fmt: skip
    one, two = (found["evaluators"]["judge"]["modes"][mode] for mode in ("one_pass", "two_pass"))
    summary = one["summary"]
    assert (summary["D"]["right"], summary["D"]["n"], summary["R"]["right"], summary["R"]["n"]) == (3, 4, 3, 4)
    assert (summary["balanced"], summary["harmonic"], summary["bias"]) == (75, 75, 0)
    for name in ("D", "R", "balanced", "harmonic", "bias"):
        low, high = summary[f"{name}_interval"]
        value = summary[name]["percent"] if name in "DR" else summary[name]
        assert low < value < high
    assert summary["if_unparsable_were_right"]["D"] == 100
    (quarter,) = summary["by_length"]
    assert (quarter["words_least"], quarter["words_most"], quarter["D"]["right"]) == (4, 4, 3)
    # Of four lines that stand alone three are graded rightly, and three of three beside another error.
    assert summary["severity"]["by_type"]["omission"]["right"]["right"] == 6
    assert (summary["severity"]["all"]["found"]["right"], summary["severity"]["all"]["found"]["n"]) == (10, 12)
    assert one["calibration"]["n"] == 7 and one["threshold"] is None
    assert one["usage"]["parse_statuses"] == {"cut off": 1, "ok": 11}
    # Without errors no severities, without probabilities no curve.
    assert two["summary"]["severity"] is two["summary"]["curve"] is two["calibration"] is None
    (test,) = found["tests"]
    assert (test["first"], test["second"], test["family"]) == (["judge", "one_pass"], ["other", "one_pass"], "one_pass")
    assert (test["D"]["only_first"], test["D"]["only_second"], test["D"]["n"]) == (0, 1, 4)
    assert (test["R"]["only_first"], test["R"]["p"], test["R"]["p_holm"]) == (3, 0.25, 0.25)
    assert test["balanced"]["difference"] == 25
    traded = found["two_pass"]["judge"]
    assert (traded["D"]["difference"], traded["R"]["difference"], traded["bias"]["difference"]) == (25, -75, 100)
    assert traded["tokens_ratio"] is None
    # Level 0 and rank 2: a chain a reference. The judge puts each in order; one that always flags none.
    assert (found["graded"]["chains"], found["graded"]["comparisons"]) == (4, 4)
    orders = found["graded"]["evaluators"]
    by_errors = orders["judge"]["one_pass"]["significant errors"]
    assert (by_errors["in_order"]["right"], by_errors["concordant"]["percent"], by_errors["tau_b"]) == (4, 100, 1)
    assert orders["judge"]["one_pass"]["probability"]["in_order"]["right"] == 3  # 0.8 beside 0.7
    assert orders["other"]["one_pass"]["verdict"]["tied"]["right"] == 4
    assert found["humans"] is None
    assert found["baselines"]["random"]["D"] == {"percent": 50, "low": None, "high": None, "right": None, "n": 4}


def test_ranked_pairs_alone():
    ranked = [Pair(f"{r}{i}", r, "x", "y", metadata={"rank": i}) for r in "ab" for i in range(3)]
    found = compared(ranked, {"m": {"scalar": [Judgement(p.pair_id, "ok", score=-p.metadata["rank"]) for p in ranked]}})
    of = found["evaluators"]["m"]["modes"]["scalar"]
    assert of["summary"] is of["threshold"] is of["calibration"] is found["baselines"] is None and found["tests"] == []
    assert found["graded"]["evaluators"]["m"]["scalar"]["score"]["tau_b"] == 1


def test_ranks_as_a_csv_file_has_them_are_text_and_may_be_empty():
    ranked = [Pair(f"{r}{i}", r, "x", "y", metadata={"rank": f" {i}"}) for r in "ab" for i in range(9, 12)]
    bare = Pair("c", "a", "x", "y", metadata={"rank": "", "level": None})
    judged = [Judgement(p.pair_id, "ok", score=-float(p.metadata["rank"] or 0)) for p in [*ranked, bare]]
    found = compared([*ranked, bare], {"m": {"scalar": judged}})
    assert found["pairs"]["with_level"] == found["graded"]["pairs"] == 6
    assert found["graded"]["evaluators"]["m"]["scalar"]["score"]["tau_b"] == 1


@pytest.mark.parametrize("value", [SECRET, True, "nan", [1], 10**400])
def test_a_level_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match=r"^pair 'a': metadata.level must be a number, higher for a worse candidate$"):
        compared([Pair("a", "r", "x", "y", (), {"level": value})], {})


def test_nothing_to_compare_with():
    with pytest.raises(ValueError, match="no errors, labels, levels or ratings"):
        compared([Pair("a", "r", "x", "y")], {"m": {"one_pass": [Judgement("a", "ok", significant=True)]}})


def test_one_kind_of_pair_alone():
    found = compared(PAIRS[:4], {"judge": {"one_pass": RIGHT[:4]}, "other": {"one_pass": ALWAYS[:4]}})
    summary = found["evaluators"]["judge"]["modes"]["one_pass"]["summary"]
    assert summary["D"]["percent"] == 75 and summary["R"]["percent"] is summary["balanced"] is None
    (test,) = found["tests"]
    assert test["balanced"]["difference"] is None and test["balanced"]["p_holm"] == 1 and test["D"]["n"] == 4
    json.dumps(found, allow_nan=False)


def test_a_scalar_metric(study, comparison):
    of = comparison["evaluators"]["bleu"]["modes"]["scalar"]
    threshold, summary = of["threshold"], of["summary"]
    assert threshold["folds"] == len(threshold["of_folds"]) == 5 and threshold["verdicts"] == "out of fold"
    assert threshold["in_sample"]["balanced"] >= summary["balanced"]
    assert threshold["auc"] == summary["area"] > 0.7
    # The curve is in the metric's own direction: the lowest score flags first.
    thresholds = summary["curve"]["threshold"]
    scores = [judgement.score for judgement in study[1]["bleu"]["scalar"]]
    assert thresholds[0] is None and thresholds[1] == min(scores) and thresholds[-1] == max(scores)
    families = [test["family"] for test in comparison["tests"] if ["bleu", "scalar"] in (test["first"], test["second"])]
    assert sorted(families) == ["one_pass"] * 3 + ["two_pass"]


def test_a_scalar_metric_without_scores():
    scores = [Judgement(pair.pair_id, "ok", score=float("nan")) for pair in PAIRS[:8]]
    found = compared(PAIRS[:8], {"m": {"scalar": scores}})
    of = found["evaluators"]["m"]["modes"]["scalar"]
    assert of["summary"]["parse_failure_rate"]["right"] == 8 and of["threshold"]["threshold"] is None
    json.dumps(found, allow_nan=False)
    one = [pair for pair in PAIRS if pair.reference_id == "r0"]
    with pytest.raises(ValueError, match="give pairs of two or more"):
        compared(one, {"m": {"scalar": [Judgement(pair.pair_id, "ok", score=0.5) for pair in one]}})


def test_errors_without_a_place_in_the_taxonomy(comparison):
    summary = comparison["evaluators"]["green"]["modes"]["one_pass"]["summary"]
    assert summary["severity"] is None and summary["D"]["n"] and summary["by_type"]["omission"]["D"]["n"]
    unplaced = [Error("omission", None, "x", "", "significant"), Error("omission", "device", "", "", "significant"),
                Error("other", "device", "x", "", "significant")]  # fmt: skip
    mixed = [said("a0", SIDE, *unplaced), *RIGHT[1:]]
    found = compared(PAIRS, {"judge": {"one_pass": mixed}})["evaluators"]["judge"]["modes"]["one_pass"]["summary"]
    assert found["severity"]["all"]["found"]["right"] == 9  # the line of a0 is not among them


def test_errors_with_spans_but_without_aspects():
    bare = [said(p.pair_id, Error("inaccuracy", "", "right", "left", "significant")) for p in PAIRS]
    found = compared(PAIRS, {"g": {"one_pass": bare}})["evaluators"]["g"]["modes"]["one_pass"]["summary"]
    assert found["severity"] is None and found["D"]["right"] == 4


def test_what_was_not_parsed_is_no_verdict():
    failed = [dataclasses.replace(each, parse_status="cut off", score=0.5) for each in RIGHT]
    modes = compared(PAIRS, {"j": {"one_pass": failed, "scalar": failed}})["evaluators"]["j"]["modes"]
    for of in modes.values():
        assert of["summary"]["parse_failure_rate"]["right"] == 8 and of["calibration"] is None


def test_holm_is_over_the_evaluators_of_a_mode(comparison):
    tests = [test for test in comparison["tests"] if test["family"] == "one_pass"]
    assert len(tests) == 3 + 3  # judge, green and labels among themselves, and each against bleu
    for measure in ("D", "R", "balanced", "harmonic", "bias"):
        least = min(tests, key=lambda test: test[measure]["p"])[measure]
        assert least["p_holm"] == pytest.approx(min(1, 6 * least["p"]))
        assert all(test[measure]["p_holm"] >= test[measure]["p"] for test in tests)


def test_what_two_pass_takes(comparison):
    traded = comparison["two_pass"]
    assert list(traded) == ["judge"]
    assert traded["judge"]["tokens_ratio"] == pytest.approx(1080 / 550)
    assert traded["judge"]["seconds_ratio"] == traded["judge"]["cost_ratio"] == pytest.approx(2)
    usage = comparison["evaluators"]["judge"]["modes"]["two_pass"]["usage"]
    assert usage["input_tokens"] == {"mean": 1000, "n": 60, "total": 60_000}
    assert usage["repairs"]["code fence"] == usage["repaired_pairs"] > 0
    # A status that repeats words of the report is not told.
    assert usage["parse_statuses"]["not parsed"] > 0
    assert sum(usage["parse_statuses"].values()) == 60


def test_the_seed_and_the_confidence_are_used(study, comparison):
    other = compared(*study, seed=1, confidence=0.8)
    (low, high), (wide_low, wide_high) = (
        one["evaluators"]["judge"]["modes"]["one_pass"]["summary"]["balanced_interval"] for one in (other, comparison)
    )
    assert wide_low < low < high < wide_high
    assert other["tests"][0]["balanced"]["p"] != comparison["tests"][0]["balanced"]["p"]


def test_the_hash_is_of_what_the_pairs_say():
    judged = {"other": {"one_pass": ALWAYS}}
    first = compared(PAIRS, judged)["pairs"]["sha256"]
    moved = [dataclasses.replace(pair, image="/elsewhere") for pair in PAIRS[::-1]]
    assert compared(moved, judged)["pairs"]["sha256"] == first
    assert compared([dataclasses.replace(PAIRS[0], candidate="z"), *PAIRS[1:]], judged)["pairs"]["sha256"] != first
