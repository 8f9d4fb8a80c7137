"""Evaluators beside raters who gave numbers, labels or both."""

import pytest
from scipy import stats
from study_example import SECRET, made, signatures

from reeval.judgements import Judgement
from reeval.pairs import Error, Pair
from reeval.study.columns import columns
from reeval.study.humans import humans

FEW = {"confidence": 0.95, "resamples": 99, "seed": 0}
ERROR = Error("omission", "device", "x", "", "significant")


def rated(*ratings):
    return [Pair(f"p{i}", f"r{i // 2}", "x", "y", metadata={"ratings": said}) for i, said in enumerate(ratings)]


def numbers(significant, insignificant=0):
    return {"significant": significant, "insignificant": insignificant}


def counting(*numbers):
    return [
        Judgement(f"p{i}", "cut off") if n is None else Judgement(f"p{i}", "ok", errors=(ERROR,) * n, significant=n > 0)
        for i, n in enumerate(numbers)
    ]


def test_numbers():
    pairs = rated(
        {"a": numbers(0), "b": numbers(0, 1)},
        {"a": numbers(1, 1), "b": numbers(2)},
        {"a": numbers(3), "b": numbers(2, 4)},
        {"a": numbers(5), "b": numbers(4)},
        {"a": numbers(1)},
    )
    judged = {"j": {"one_pass": counting(0, 1, 2, None, 3)}}
    found = humans(pairs, columns(pairs, judged), **FEW)
    counts = found["counts"]
    assert (found["raters"], counts["pairs"], counts["references"]) == (["a", "b"], 5, 3)
    tau = counts["evaluators"]["j"]["one_pass"]["significant errors"]
    assert (tau["significant"]["n"], tau["significant"]["unjudged"]) == (4, 1)
    expected = stats.kendalltau([0, 1, 2, 3], [0, 1.5, 2.5, 1]).statistic
    assert tau["significant"]["tau_b"] == pytest.approx(expected)
    assert tau["all"]["tau_b"] == pytest.approx(stats.kendalltau([0, 1, 2, 3], [0.5, 2, 4.5, 1]).statistic)
    assert tau["significant"]["low"] <= expected <= tau["significant"]["high"]
    ceiling = counts["ceiling"]["significant"]
    between = stats.kendalltau([0, 1, 3, 5], [0, 2, 2, 4]).statistic
    for rater in "ab":  # of two raters each is the other's others
        assert ceiling["each"][rater] == {"tau_b": pytest.approx(between), "n": 4}
    assert [ceiling[name] for name in ("least", "mean", "greatest")] == pytest.approx([between] * 3)
    # A number above 0 is a label.
    labels = found["labels"]
    assert labels["pairs"] == 5 and (labels["each"]["a"]["D"]["right"], labels["each"]["a"]["D"]["n"]) == (3, 3)


def test_labels():
    sig, insig = "significant", "insignificant"
    pairs = rated(
        {"a": sig, "b": sig, "c": sig},
        {"a": insig, "b": sig, "c": sig},
        {"a": insig, "b": insig, "c": insig},
        {"a": sig, "b": insig, "c": insig},
        {"a": sig, "b": sig, "c": insig},
        {"a": sig},
    )
    found = humans(pairs, columns(pairs, {}), **FEW)
    assert found["counts"] is None
    labels = found["labels"]
    a = labels["each"]["a"]
    # The others agree on four pairs: significant, significant, insignificant, insignificant; they split on the fifth.
    assert (a["D"]["right"], a["D"]["n"], a["R"]["right"], a["R"]["n"], a["split"]) == (1, 2, 1, 2, 1)
    c = labels["each"]["c"]
    assert (c["D"]["right"], c["D"]["n"], c["R"]["right"], c["R"]["n"], c["split"]) == (1, 2, 1, 1, 2)
    assert labels["D"] == {"mean": pytest.approx((50 + 100 + 50) / 3), "least": 50, "greatest": 100}
    kappas = {tuple(one["raters"]): one for one in labels["cohen"]}
    assert kappas["b", "c"]["n"] == 5 and kappas["b", "c"]["kappa"] == pytest.approx((0.8 - 0.48) / 0.52)
    agreed = (1 + 1 / 3 + 1 + 1 / 3 + 1 / 3) / 5
    chance = (8 / 15) ** 2 + (7 / 15) ** 2
    assert labels["fleiss"] == {"kappa": pytest.approx((agreed - chance) / (1 - chance)), "n": 5}


def test_one_rater_has_no_ceiling():
    pairs = rated({"both": numbers(1)}, {"both": numbers(0)}, {"both": numbers(2)})
    found = humans(pairs, columns(pairs, {"j": {"one_pass": counting(0, 0, 0)}}), **FEW)
    assert found["counts"]["ceiling"]["all"]["mean"] is None and found["labels"]["fleiss"]["kappa"] is None
    assert found["counts"]["evaluators"]["j"]["one_pass"]["errors"]["all"]["tau_b"] is None  # one number for all


def test_without_raters_there_is_nothing():
    assert humans([Pair("p0", "r0", "x", "y")], {}, **FEW) is None


@pytest.mark.parametrize(
    "given",
    [3, [], {"a": 3}, {"a": SECRET}, {"a": {"significant": 1}}, {"a": numbers(-1)}, {"a": numbers(True)},
     {"a": numbers(float("nan"))}, {"a": numbers(SECRET)}],
)  # fmt: skip
def test_ratings_of_another_form(given):
    pairs = [Pair("p0", "r0", "x", "y", metadata={"ratings": given})]
    with pytest.raises(ValueError, match=r"pair 'p0': metadata.ratings must have for each rater") as raised:
        humans(pairs, {}, **FEW)
    assert SECRET not in str(raised.value)


def test_of_every_kind_of_evaluator():
    pairs, judged = made(4)
    found = humans(pairs, columns(pairs, judged), **FEW)["counts"]["evaluators"]
    assert signatures(judged).keys() == found.keys()
    assert {name: list(values) for name, modes in found.items() for values in modes.values()} == {
        "judge": ["significant errors", "errors", "probability"],
        "green": ["significant errors", "errors"],
        "labels": ["verdict"],
        "bleu": ["score"],
    }
