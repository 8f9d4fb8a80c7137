import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reeval.metrics.intervals import intervals, intervals_of, newcombe, resampled
from reeval.metrics.rates import Rate, wilson


def test_wilson_by_hand():
    # 81 of 263 is Newcombe's own example (Stat. Med. 1998; 17:857, method 3): 0.2553 to 0.3662.
    assert Rate(81, 263).wilson() == pytest.approx((25.53, 36.62), abs=0.005)
    # At the ends: z^2 / (n + z^2) with z = 1.959964.
    assert Rate(0, 20).wilson() == (0, pytest.approx(100 * 3.841459 / 23.841459, abs=1e-4))
    assert Rate(20, 20).wilson() == (pytest.approx(100 * 20 / 23.841459, abs=1e-4), 100)
    assert all(map(math.isnan, Rate(0, 0).wilson()))


def test_newcombe_by_hand():
    # 56/70 - 48/80 is Newcombe's own example (Stat. Med. 1998; 17:873, method 10): +0.0524 to +0.3339.
    mean, bias = newcombe(Rate(56, 70), Rate(48, 80))
    assert bias == pytest.approx((5.24, 33.39), abs=0.005)
    # D + R = 100 + (D - (100 - R)): the mean's interval is that of a difference from the complement, halved.
    _, turned = newcombe(Rate(56, 70), Rate(32, 80))
    assert mean == pytest.approx([(100 + end) / 2 for end in turned])


def made(*rows):
    """Rows of (gold, judged, reference, times)."""
    rows = [row[:3] for row in rows for _ in range(row[3])]
    gold, judged, reference = zip(*rows, strict=True)
    return np.array(gold, bool), np.array(judged, np.int8), np.array(reference, str)


def test_all_right_does_not_collapse():
    for judged in (1, 0):
        data = made(*[(gold, judged if gold else 1 - judged, f"r{i}", 1) for gold in (1, 0) for i in range(10)])
        found = intervals(*data)
        right = 100.0 * judged
        low, high = found.balanced
        assert high - low > 5 and low <= right <= high
        assert found.bias[0] < -5 and found.bias[1] > 5


def test_a_single_reference_falls_back_on_the_pairs():
    data = made((1, 1, "r", 8), (1, 0, "r", 2), (0, 0, "r", 5), (0, 1, "r", 5))
    found = intervals(*data)
    assert (found.balanced, found.bias) == newcombe(Rate(8, 10), Rate(5, 10))
    assert found.references == 1


def test_references_that_fail_as_one_widen_the_interval():
    # 10 references with 20 pairs each, either all right or all wrong: 10 facts, not 200.
    together = made(*[(i % 2, (i % 2) ^ (i >= 5), f"r{i}", 20) for i in range(10)])
    apart = (together[0], together[1], np.arange(200).astype(str))
    width = [np.diff(intervals(*data).balanced)[0] for data in (together, apart)]
    assert width[0] > 2 * width[1]


def test_against_a_bootstrap_written_out():
    rng = np.random.default_rng(1)
    reference = rng.integers(0, 30, 200)
    gold = rng.random(200) < 0.5
    right = rng.random(200) < np.where(reference < 10, 0.3, 0.95)  # strongly clustered: the bootstrap decides
    judged = np.where(right, gold, ~gold).astype(np.int8)
    drawn = []
    for _ in range(4000):
        pairs = np.concatenate([np.flatnonzero(reference == r) for r in rng.choice(np.unique(reference), 30)])
        D, R = (100 * right[pairs][gold[pairs] == kind].mean() for kind in (True, False))
        drawn.append((D, R, (D + R) / 2, 2 * D * R / (D + R)))
    found = intervals(gold, judged, reference.astype(str))
    ends = np.percentile(drawn, [2.5, 97.5], axis=0).T
    for name, expected in zip(("D", "R", "balanced", "harmonic"), ends, strict=True):
        assert getattr(found, name) == pytest.approx(expected, abs=1), name


def test_unknown_where_one_kind_is_missing():
    found = intervals(*made((1, 1, "a", 3), (1, 0, "b", 3)))
    assert all(map(math.isnan, (*found.R, *found.balanced, *found.harmonic, *found.bias)))
    assert found.D == (0, 100)  # of two references one is right


def test_the_harmonic_mean_without_clusters():
    # D and R alike: a small change of both moves their harmonic mean as it does the other mean.
    data = made(*[(gold, gold if i % 10 else 1 - gold, f"r{i}{gold}", 1) for gold in (1, 0) for i in range(1000)])
    found = intervals(*data)
    assert found.harmonic == pytest.approx(found.balanced, abs=0.1)
    # Nothing right at all, and everything.
    wrong, right = (intervals(*made((1, j, "a", 9), (0, 1 - j, "b", 9))).harmonic for j in (0, 1))
    assert wrong[0] == 0 and 5 < wrong[1] < 40 and right[1] == 100 and 50 < right[0] < 95


def test_judges_are_compared_on_the_same_resamples():
    gold, judged, reference = made((1, 1, "a", 3), (0, 1, "b", 3), (0, 0, "c", 2), (1, 0, "d", 5))
    drawn = resampled(gold, np.array([judged, judged, 1 - judged], np.int8), reference, resamples=600)
    np.testing.assert_array_equal(drawn.D_KN[0], drawn.D_KN[1])
    np.testing.assert_allclose(drawn.D_KN[0], 100 - drawn.D_KN[2])
    assert drawn.D_KN.shape == drawn.R_KN.shape == (3, 600)
    assert intervals(gold, judged, reference, resamples=600) == intervals_of(gold, judged, drawn, 0)


def test_a_share_of_values_between_right_and_wrong():
    assert wilson(81 / 263, 263) == pytest.approx([end / 100 for end in Rate(81, 263).wilson()])
    low, high = wilson(0.5, 7, 0.5)
    assert 0 < low < 0.5 < high < 1


def test_resamples_that_miss_one_kind_are_left_out():
    found = intervals(*made((1, 1, "a", 3), (0, 1, "b", 3)))
    assert all(map(math.isfinite, (*found.balanced, *found.bias)))


row = st.tuples(st.booleans(), st.sampled_from([1, 0, -1]), st.sampled_from("abcd"))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(row, min_size=2, max_size=20),
    st.randoms(use_true_random=False),
)
def test_contain_the_estimate_and_do_not_depend_on_order(rows, random):
    data = made(*[(*row, 1) for row in rows])
    found = intervals(*data, resamples=199)
    order = list(range(len(rows)))
    random.shuffle(order)
    again = intervals(*(column[order] for column in data), resamples=199)
    np.testing.assert_equal((again.balanced, again.bias), (found.balanced, found.bias))
    gold, right = data[0], np.where(data[0], data[1] == 1, data[1] == 0)
    if gold.all() or not gold.any():
        return
    D, R = 100 * right[gold].mean(), 100 * right[~gold].mean()
    harmonic = 2 * D * R / (D + R) if D + R else 0
    known = ((found.D, D), (found.R, R), (found.harmonic, harmonic), (found.balanced, (D + R) / 2), (found.bias, D - R))
    for (low, high), value in known:
        assert low - 1e-9 <= value <= high + 1e-9 and high - low > 1
    for (low, high), least in ((found.balanced, 0), (found.bias, -100)):
        assert low >= least - 1e-9 and high <= 100 + 1e-9
