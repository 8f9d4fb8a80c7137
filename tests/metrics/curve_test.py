import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from reeval.metrics import dr
from reeval.metrics.curve import curve

NAN = math.nan


def made(*rows):
    """Rows of (gold, score) or (gold, score, reference)."""
    gold, scores, references = zip(*((*row, f"r{i}")[:3] for i, row in enumerate(rows)), strict=True)
    return np.array(gold, bool), np.array(scores, float), np.array(references, str)


def drawn(n, *, seed=0, values=None):
    """Pairs whose scores say something, with many ties if `values` are few."""
    rng = np.random.default_rng(seed)
    gold = rng.random(n) < 0.4
    scores = np.clip(rng.normal(0.4 + 0.2 * gold, 0.2), 0, 1)
    return gold, np.round(scores * values) / values if values else scores, rng.integers(0, n // 3, n).astype(str)


def test_by_hand():
    found = curve(*made((1, 0.9), (1, 0.5), (1, 0.0), (0, 0.5), (0, 0.2)))
    assert found.thresholds.tolist() == [math.inf, 0.9, 0.5, 0.2, 0.0]
    # At 0.5 both pairs of this score are flagged.
    np.testing.assert_allclose(found.D, [0, 100 / 3, 200 / 3, 200 / 3, 100])
    np.testing.assert_allclose(found.R, [100, 100, 50, 0, 0])
    # Six comparisons: 0.9 wins two, 0.5 wins one and ties one, 0.0 loses two.
    assert found.area == pytest.approx(3.5 / 6)


def test_a_pair_that_cannot_be_parsed_is_wrong_at_each_threshold():
    found = curve(*made((1, 0.9), (1, NAN), (0, 0.2), (0, 0.1), (0, NAN), (0, 0.3)))
    assert found.thresholds.tolist() == [math.inf, 0.9, 0.3, 0.2, 0.1]
    np.testing.assert_allclose(found.D, [0, 50, 50, 50, 50])
    np.testing.assert_allclose(found.R, [75, 75, 50, 25, 0])
    assert found.area == pytest.approx(3 / 8)  # of 2 x 4 comparisons


def test_is_what_dr_says_of_the_verdicts_at_each_threshold():
    gold, scores, references = drawn(90, values=12)
    scores[::7] = NAN
    found = curve(gold, scores, references)
    for threshold, D, R in zip(found.thresholds, found.D, found.R, strict=True):
        judged = np.where(np.isnan(scores), dr.UNPARSABLE, np.where(scores >= threshold, 1, 0)).astype(np.int8)
        as_judged = dr.score(gold, judged, np.zeros_like(gold))
        assert (D, R) == pytest.approx((as_judged.D.percent, as_judged.R.percent))


@pytest.mark.parametrize("values", [None, 10, 2])
@pytest.mark.parametrize("unparsable", [0, 13])
def test_the_area_is_the_trapezoids_and_that_of_others(values, unparsable):
    gold, scores, references = drawn(200, seed=unparsable, values=values)
    scores[:unparsable] = NAN
    found = curve(gold, scores, references, resamples=1)
    assert found.area == pytest.approx(np.trapezoid(found.R, found.D) / 1e4)
    parsed = ~np.isnan(scores)
    share = parsed[gold].mean() * parsed[~gold].mean()
    assert found.area == pytest.approx(share * metrics.roc_auc_score(gold[parsed], scores[parsed]))
    wins = stats.mannwhitneyu(scores[gold & parsed], scores[~gold & parsed]).statistic
    assert found.area == pytest.approx(wins / (gold.sum() * (~gold).sum()))


def test_the_ends_of_the_scale():
    best = curve(*made(*[(i % 2, 0.1 + 0.8 * (i % 2)) for i in range(30)]))
    worst = curve(*made(*[(i % 2, 0.9 - 0.8 * (i % 2)) for i in range(30)]))
    blind = curve(*made(*[(i % 2, 0.4) for i in range(30)]))
    assert (best.area, worst.area, blind.area) == (1, 0, 0.5)
    # No resample of these disagrees with them, and still nothing is certain.
    assert best.interval[0] < 0.95 and best.interval[1] == 1
    assert worst.interval == pytest.approx((0, 1 - best.interval[0]))
    assert blind.thresholds.tolist() == [math.inf, 0.4]
    assert (blind.D.tolist(), blind.R.tolist()) == ([0, 100], [100, 0])


def test_all_unparsable_has_no_area_and_one_kind_no_curve():
    found = curve(*made((1, NAN), (0, NAN)))
    assert (found.D.tolist(), found.R.tolist(), found.area) == ([0], [0], 0)
    assert curve(*made((1, 0.2), (1, NAN))) is None
    assert curve(*made((0, 0.2))) is None


def test_the_interval_by_a_bootstrap_written_out():
    rng = np.random.default_rng(1)
    reference = rng.integers(0, 30, 200)
    gold = rng.random(200) < 0.5
    right = np.where(reference < 10, -0.4, 0.6)  # strongly clustered: the bootstrap decides
    scores = np.clip(0.5 + right * (gold - 0.5) + rng.normal(0, 0.1, 200), 0, 1)
    scores[rng.random(200) < 0.05] = NAN
    areas = []
    for _ in range(2000):
        pairs = np.concatenate([np.flatnonzero(reference == r) for r in rng.choice(np.unique(reference), 30)])
        one, other = scores[pairs][gold[pairs]], scores[pairs][~gold[pairs]]
        differences = one[:, None] - other[None, :]
        areas.append(((differences > 0) + (differences == 0) / 2).mean())
    found = curve(gold, scores, reference.astype(str))
    assert found.interval == pytest.approx(np.percentile(areas, [2.5, 97.5]), abs=0.01)
    apart = curve(gold, scores, np.arange(200).astype(str))
    assert np.diff(found.interval)[0] > 1.5 * np.diff(apart.interval)[0]


def test_thinning_keeps_the_ends_and_the_shape():
    whole = curve(*drawn(3000))
    thresholds, D, R = whole.thinned(101)
    assert len(thresholds) == len(D) == len(R) <= 101 < len(whole.D) // 10
    assert (thresholds[0], D[0], R[0]) == (math.inf, 0, 100) and (D[-1], R[-1]) == (100, 0)
    assert set(zip(D, R, strict=True)) <= set(zip(whole.D, whole.R, strict=True))
    # The curve turned by 45 degrees is a function.
    assert np.abs(np.interp(whole.D - whole.R, D - R, D + R) - (whole.D + whole.R)).max() < 2
    few = curve(*drawn(30))
    assert [len(part) for part in few.thinned()] == [len(few.D)] * 3


row = st.tuples(st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 1.0, NAN]), st.sampled_from("abcd"))


@settings(max_examples=25, deadline=None)
@given(st.lists(row, min_size=2, max_size=20), st.randoms(use_true_random=False))
def test_contains_the_estimate_and_does_not_depend_on_order(rows, random):
    gold, scores, references = made(*rows)
    found = curve(gold, scores, references, resamples=199)
    if gold.all() or not gold.any():
        assert found is None
        return
    order = list(range(len(rows)))
    random.shuffle(order)
    again = curve(gold[order], scores[order], references[order], resamples=199)
    np.testing.assert_equal(
        (again.D, again.R, again.area, again.interval), (found.D, found.R, found.area, found.interval)
    )
    low, high = found.interval
    assert 0 <= low <= found.area <= high <= 1 and high - low > 0.01
    assert (np.diff(found.D) >= 0).all() and (np.diff(found.R) <= 0).all()
