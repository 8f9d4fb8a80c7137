import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from reeval.metrics.calibration import calibration


def drawn(n=300, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    return rng.random(n) < p, p, rng.integers(0, n // 3, n).astype(str)


def test_by_hand():
    gold = np.array([True, False, True, True])
    found = calibration(gold, np.array([0.1, 0.1, 0.6, 0.8]), np.array(list("abcd")), bins=2)
    assert [(b.low, b.high) for b in found.bins] == [(0.1, 0.1), (0.6, 0.8)]
    assert [(b.significant.right, b.significant.n) for b in found.bins] == [(1, 2), (2, 2)]
    assert [b.mean for b in found.bins] == pytest.approx([0.1, 0.7])
    assert found.brier == pytest.approx((0.81 + 0.01 + 0.16 + 0.04) / 4)
    assert found.ece == pytest.approx((2 * 0.4 + 2 * 0.3) / 4)
    assert (found.brier_of_share, found.n) == (pytest.approx(3 / 16), 4)


def test_brier_as_sklearn_with_an_interval_about_it():
    gold, p, references = drawn()
    found = calibration(gold, p, references)
    assert found.brier == pytest.approx(brier_score_loss(gold, p))
    low, high = found.brier_interval
    assert low < found.brier < high and high - low < 0.1
    assert found.brier < found.brier_of_share


def test_bins_are_even_and_keep_equal_ones_together():
    gold, p, references = drawn()
    found = calibration(gold, p, references, resamples=9)
    assert [b.significant.n for b in found.bins] == [30] * 10 and found.ece < 0.1
    assert all(one.high < other.low for one, other in zip(found.bins, found.bins[1:], strict=False))
    zeros = calibration(gold, np.where(p < 0.7, 0.0, p), references, resamples=9)
    assert zeros.bins[0].significant.n == (p < 0.7).sum() and sum(b.significant.n for b in zeros.bins) == 300


def test_one_probability_is_one_bin():
    gold, p, references = drawn()
    (only,) = calibration(gold, np.full_like(p, 0.5), references, resamples=9).bins
    assert only.significant.n == 300 and only.low == only.high == only.mean == 0.5
