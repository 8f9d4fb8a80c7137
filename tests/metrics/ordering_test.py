import math

import numpy as np
import pytest
from scipy import stats

from reeval.metrics.ordering import chained, ordering

NAN = math.nan


def made(**chains):
    """Chains of (level, value), as columns in a mixed order."""
    rows = [(name, *row) for name, chain in chains.items() for row in chain]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    names, levels, values = zip(*rows, strict=True)
    return np.array(names), np.array(levels, float), np.array(values, float)


def shares(found):
    kinds = (found.concordant, found.discordant, found.tied, found.unjudged)
    return [kind.rate.right for kind in kinds], found.concordant.rate.n


def test_by_hand():
    found = ordering(*made(a=[(1, 0), (2, 5), (3, 9)], b=[(1, 4), (2, 4), (3, 2)], c=[(1, 1), (1, 3), (2, 3)]))
    # a: all three right. b: one tied, two wrong. c: two comparisons, one right and one tied; its equal levels are none.
    assert shares(found) == ([4, 2, 2, 0], 8)
    assert (found.in_order.rate.right, found.in_order.rate.n) == (1, 3)
    taus = [1, -2 / math.sqrt(3 * 2), 1 / math.sqrt(2 * 2)]
    assert found.tau == pytest.approx(np.mean(taus))
    assert found.tau_interval == pytest.approx((min(taus), 1))
    for share in (found.concordant, found.discordant, found.tied, found.in_order):
        low, high = share.interval
        assert low <= share.rate.wilson()[0] and high >= share.rate.wilson()[1]


def test_the_mean_of_scipys_taus():
    rng = np.random.default_rng(3)
    chains = {f"c{i}": [(level, rng.integers(0, 4)) for level in rng.integers(0, 5, 6)] for i in range(40)}
    chains["flat"] = [(level, 7) for level in range(4)]
    found = ordering(*made(**chains))
    taus = [stats.kendalltau(*zip(*chain, strict=True)).statistic for chain in chains.values()]
    assert np.isnan(taus).sum() == 1  # of "flat", which counts as one that orders nothing
    assert found.tau == pytest.approx(np.nan_to_num(taus).mean())
    low, high = found.tau_interval
    assert low < found.tau < high


def test_what_was_not_judged_is_in_no_order():
    found = ordering(*made(a=[(1, 0), (2, NAN), (3, 9)], b=[(1, NAN), (2, NAN)]))
    assert shares(found) == ([1, 0, 0, 3], 4)
    assert found.in_order.rate.right == 0
    assert found.tau == pytest.approx((1 / 3 + 0) / 2)


def test_all_right_is_not_certain():
    found = ordering(*made(**{f"c{i}": [(1, 0), (2, 1)] for i in range(10)}))
    assert found.tau == 1 and found.in_order.rate.percent == 100
    assert found.tau_interval[0] < 0.7 and found.tau_interval[1] == 1
    assert found.concordant.interval[0] < 80


def test_chains_that_fail_as_one_widen_the_interval():
    def long(i):
        return [(level, level if i % 2 else -level) for level in range(8)]

    found = ordering(*made(**{f"c{i}": long(i) for i in range(10)}))
    low, high = found.concordant.interval
    free = found.concordant.rate.wilson()
    assert high - low > 3 * (free[1] - free[0])


def test_a_chain_has_two_levels():
    references = np.array(list("aabbcd"))
    levels = np.array([1, 2, 3, 3, 1, NAN])
    assert chained(references, levels).tolist() == [True, True, False, False, False, False]
