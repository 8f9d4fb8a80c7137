import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeval.metrics import dr

pair = st.tuples(st.booleans(), st.sampled_from([1, 0, -1]), st.booleans())


def arrays(pairs):
    gold, judged, identical = zip(*pairs, strict=True) if pairs else ((), (), ())
    return np.array(gold, bool), np.array(judged, np.int8), np.array(identical, bool)


def test_by_hand():
    # 5 significant: 3 flagged, 1 missed, 1 unparsable.
    # 4 not: 1 flagged, 2 passed (1 of them identical), 1 unparsable.
    gold = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0], bool)
    judged = np.array([1, 1, 1, 0, -1, 1, 0, 0, -1], np.int8)
    identical = np.array([0, 0, 0, 0, 0, 0, 0, 1, 0], bool)
    scores = dr.score(gold, judged, identical)
    assert (scores.D.right, scores.D.n, scores.D.percent) == (3, 5, 60)
    assert (scores.R.right, scores.R.n, scores.R.percent) == (2, 4, 50)
    assert (scores.R_without_identical.right, scores.R_without_identical.n) == (1, 3)
    assert (scores.parse_failures.right, scores.parse_failures.n) == (2, 9)
    assert scores.balanced == 55
    assert scores.harmonic == pytest.approx(2 * 60 * 50 / 110)
    assert scores.bias == 10
    assert (scores.D_best.percent, scores.R_best.percent, scores.balanced_best) == (80, 75, 77.5)
    assert scores.harmonic_best == pytest.approx(2 * 80 * 75 / 155)
    assert scores.bias_bounds == (60 - 75, 80 - 50)


def test_the_trivial_judges():
    gold = np.array([1, 1, 0], bool)
    none = np.zeros(3, bool)
    always, never = dr.score(gold, dr.always_flag(3), none), dr.score(gold, dr.never_flag(3), none)
    for scores, D, R in ((always, 100, 0), (never, 0, 100)):
        assert (scores.D.percent, scores.R.percent) == (D, R)
        assert (scores.balanced, scores.harmonic, scores.bias) == (50, 0, D - R)


def test_all_wrong_is_no_division_by_zero():
    assert dr.score(np.array([True, False]), np.array([0, 1], np.int8), np.zeros(2, bool)).harmonic == 0


def test_without_pairs_of_one_kind_a_figure_is_unknown_and_not_zero():
    scores = dr.score(np.array([True]), np.array([1], np.int8), np.array([False]))
    assert scores.D.percent == 100
    for unknown in (scores.R.percent, scores.balanced, scores.harmonic, scores.bias, *scores.R.wilson()):
        assert math.isnan(unknown)


@given(st.lists(pair, min_size=1))
def test_bounds_order_and_invariance(pairs):
    gold, judged, identical = arrays(pairs)
    scores = dr.score(gold, judged, identical)
    assert scores.D.n + scores.R.n == scores.parse_failures.n == len(pairs)
    assert scores.D.right <= scores.D_best.right <= scores.D.n
    assert scores.R.right <= scores.R_best.right <= scores.R.n
    unparsable = judged == dr.UNPARSABLE
    assert scores.D_best.right - scores.D.right + scores.R_best.right - scores.R.right == unparsable.sum()
    if scores.D.n and scores.R.n:
        low, high = scores.bias_bounds
        # Whatever the unparsable outputs would have said, the figures stay within the bounds.
        for truth in (1, 0):
            settled = dr.score(gold, np.where(unparsable, truth, judged), identical)
            assert low - 1e-9 <= settled.bias <= high + 1e-9
            assert scores.balanced - 1e-9 <= settled.balanced <= scores.balanced_best + 1e-9
    turned = dr.score(gold[::-1], judged[::-1], identical[::-1])
    assert turned == scores


@given(st.lists(pair, min_size=1))
def test_turning_labels_and_judgements_over_swaps_d_and_r(pairs):
    gold, judged, identical = arrays(pairs)
    scores = dr.score(gold, judged, identical)
    turned = dr.score(~gold, np.where(judged == -1, -1, 1 - judged), identical)
    assert (turned.D, turned.R) == (scores.R, scores.D)


def test_other_codes_are_a_programming_error():
    with pytest.raises(AssertionError, match="other codes"):
        dr.score(np.array([True]), np.array([2], np.int8), np.array([False]))
