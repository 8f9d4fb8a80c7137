import math

import numpy as np
import pytest
from scipy import stats

from reeval.metrics import correlation
from reeval.metrics.correlation import ceiling, kendall, spread

NAN = math.nan


def drawn(n=80, seed=0):
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 5, n)
    return one.astype(float), np.round(one + rng.normal(0, 2, n)), rng.integers(0, n // 4, n).astype(str)


@pytest.mark.parametrize("seed", range(3))
def test_as_scipy(seed):
    one, other, references = drawn(seed=seed)
    found = kendall(one, other, references, resamples=99)
    assert found.tau_b == pytest.approx(stats.kendalltau(one, other).statistic)
    assert found.tau_c == pytest.approx(stats.kendalltau(one, other, variant="c").statistic)
    assert (found.n, found.resamples) == (80, 99)


def test_the_interval_by_a_bootstrap_written_out():
    one, other, references = drawn()
    rng = np.random.default_rng(1)
    names = np.unique(references)
    taus = []
    for _ in range(2000):
        cases = np.concatenate([np.flatnonzero(references == r) for r in rng.choice(names, len(names))])
        taus.append(stats.kendalltau(one[cases], other[cases]).statistic)
    found = kendall(one, other, references)
    assert found.interval == pytest.approx(np.percentile(taus, [2.5, 97.5]), abs=0.015)
    narrow = kendall(one, other, references, confidence=0.5).interval
    assert found.interval[0] < narrow[0] < narrow[1] < found.interval[1]


def test_the_order_of_cases_makes_no_difference():
    columns = drawn()
    order = np.random.default_rng(1).permutation(80)
    assert kendall(*columns) == kendall(*(column[order] for column in columns))


def test_of_many_references_fewer_resamples_are_drawn(monkeypatch):
    monkeypatch.setattr(correlation, "_WORK", 300 * 20**2)
    one, other, _ = drawn()
    assert kendall(one, other, np.arange(80) % 20).resamples == 500  # whole portions


def test_without_an_order_there_is_none():
    one, other, references = drawn()
    for found in (kendall(one, other * 0, references), kendall(one[:1], other[:1], references[:1])):
        assert math.isnan(found.tau_b) and math.isnan(found.interval[0]) and math.isnan(found.tau_c)


def test_each_rater_against_the_mean_of_the_others():
    ratings = np.array([[0, 1, 2, 3, 4, 0], [0, 1, 1, 2, 2, NAN], [1, NAN, 0, 3, 5, NAN]])
    found = ceiling(ratings)
    assert [n for _, n in found] == [5, 5, 4]  # nobody else rated the last case
    means = [0.5, 1, 0.5, 2.5, 3.5]
    assert found[0][0] == pytest.approx(stats.kendalltau(ratings[0, :5], means).statistic)
    mean, least, greatest = spread([tau for tau, _ in found] + [NAN])
    assert least <= mean <= greatest < 1 and mean == pytest.approx(np.mean([tau for tau, _ in found]))
    assert all(map(math.isnan, spread([NAN])))
    assert math.isnan(ceiling(ratings[:1])[0][0]) and ceiling(ratings[:1])[0][1] == 0
