import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reeval.metrics import dr
from reeval.metrics.differences import MEASURES, differences, newcombe_paired
from reeval.metrics.intervals import newcombe, resampled
from reeval.metrics.rates import Rate


def drawn(n=90, *, references=30, skills=(0.9, 0.6), significant=0.5, seed=0):
    rng = np.random.default_rng(seed)
    gold = rng.random(n) < significant
    reference = rng.integers(0, references, n)
    right = rng.random((len(skills), n)) < np.array(skills)[:, None]
    return gold, np.where(right, gold, ~gold).astype(np.int8), reference.astype(str)


def compared(gold, judged, references, tests=((0, 1),), *, resamples=999, **more):
    drawn = resampled(gold, judged, references, resamples=resamples)
    return differences(gold, judged, references, tests, drawn, **more)


def measures(gold, judged):
    scores = dr.score(gold, judged, np.zeros_like(gold))
    return {
        "D": scores.D.percent,
        "R": scores.R.percent,
        "balanced": scores.balanced,
        "harmonic": scores.harmonic,
        "bias": scores.bias,
    }


def test_the_differences_are_those_of_the_scores():
    gold, judged, references = drawn()
    (found,) = compared(gold, judged, references)
    one, two = (measures(gold, row) for row in judged)
    for name in MEASURES:
        difference = found[name]
        assert difference.difference == pytest.approx(one[name] - two[name])
        assert difference.low < difference.difference < difference.high


@pytest.mark.parametrize("seed", range(3))
def test_p_is_that_of_scipys_exact_test(seed):
    gold, judged, references = drawn(60, references=8, skills=(0.8, 0.6), significant=0.15, seed=seed)
    (found,) = compared(gold, judged, references, permutations=20_000)
    names, cluster = np.unique(references, return_inverse=True)

    for name in MEASURES:

        def statistic(one, other, name=name):
            # Which judge answers each reference: 0 to C-1 are the first's answers, C and above the second's.
            rows = [np.where(np.isin(cluster + len(names), side), judged[1], judged[0]) for side in (one, other)]
            first, second = (measures(gold, row)[name] for row in rows)
            return first - second

        exact = stats.permutation_test(
            (np.arange(len(names)), np.arange(len(names)) + len(names)),
            statistic,
            permutation_type="samples",
            n_resamples=np.inf,
        )
        assert found[name].p == pytest.approx(exact.pvalue, abs=0.012), name


def test_references_that_fail_as_one_are_one_fact():
    # Five references with 20 pairs each, in which the first judge is right and the second wrong, and 100 such pairs.
    gold = np.arange(100) % 2 == 0
    judged = np.array([gold, ~gold]).astype(np.int8)
    (together,) = compared(gold, judged, np.arange(100) // 20)
    (apart,) = compared(gold, judged, np.arange(100))
    # Of 2^5 swaps two are as far.
    assert together["balanced"].p == pytest.approx(2 / 32, abs=0.01) and apart["balanced"].p < 0.001
    # No permutation is as far: the least that so many can say.
    assert apart["D"].p == 1 / 10_001


def test_alike_and_alone():
    gold, judged, references = drawn()
    (same,) = compared(gold, judged[[0, 0]], references)
    for name in MEASURES:
        assert same[name].p == 1 and same[name].difference == 0
        assert same[name].low < 0 < same[name].high
    (one_reference,) = compared(gold, judged, np.zeros(90, int))
    assert {one_reference[name].p for name in MEASURES} == {1}


def test_two_judges_that_are_never_right():
    gold, _, references = drawn()
    (found,) = compared(gold, np.array([~gold, ~gold], np.int8), references)
    for name in MEASURES:
        assert found[name].difference == 0 and found[name].low < -1 and found[name].high > 1, name


def test_where_one_kind_is_missing():
    gold, judged, references = drawn()
    gold = np.ones_like(gold)
    (found,) = compared(gold, judged, references)
    assert math.isfinite(found["D"].low) and found["D"].p < 1
    for name in ("R", "balanced", "harmonic", "bias"):
        assert found[name].p == 1 and math.isnan(found[name].difference) and math.isnan(found[name].low)


def test_neither_the_other_judges_nor_the_order_make_a_difference():
    gold, judged, references = drawn(skills=(0.9, 0.6, 0.8))
    every = compared(gold, judged, references, [(0, 1), (2, 1)])
    assert compared(gold, judged[[2, 1]], references) == every[1:]
    order = np.random.default_rng(1).permutation(len(gold))
    assert compared(gold[order], judged[:, order], references[order], [(0, 1), (2, 1)]) == every
    (swapped,) = compared(gold, judged, references, [(1, 0)])
    for name in MEASURES:
        one, other = every[0][name], swapped[name]
        assert (other.p, other.difference) == (one.p, pytest.approx(-one.difference))
        assert (other.low, other.high) == pytest.approx((-one.high, -one.low))


def test_the_interval_by_a_paired_bootstrap_written_out():
    rng = np.random.default_rng(1)
    n, references = 600, 60
    reference = np.arange(n) % references
    gold = rng.random(n) < 0.5
    # All pairs of a reference together: the bootstrap decides.
    right = np.array([rng.random(references) < 0.8, rng.random(references) < 0.5])[:, reference]
    judged = np.where(right, gold, ~gold).astype(np.int8)
    (found,) = compared(gold, judged, reference, resamples=5000)
    kept = {name: [] for name in MEASURES}
    for _ in range(1500):
        pairs = np.concatenate([np.flatnonzero(reference == r) for r in rng.integers(0, references, references)])
        one, two = (measures(gold[pairs], row[pairs]) for row in judged)
        for name in MEASURES:
            kept[name].append(one[name] - two[name])
    for name in ("D", "R", "balanced", "harmonic"):
        expected = np.percentile(kept[name], [2.5, 97.5])
        assert (found[name].low, found[name].high) == pytest.approx(expected, abs=3), name


def test_the_interval_that_takes_pairs_as_independent():
    gold, judged, references = drawn(60, skills=(0.95, 0.5))
    (found,) = compared(gold, judged, references, resamples=1)  # a point, near enough to widen nothing
    (x, x_low, x_high), (y, y_low, y_high) = (
        (found[name].difference, *newcombe_paired(*(judged[:, kind] == gold[kind])))
        for name, kind in (("D", gold), ("R", ~gold))
    )
    bias, balanced = found["bias"], found["balanced"]
    assert bias.low == pytest.approx(x - y - math.hypot(x - x_low, y_high - y))
    assert bias.high == pytest.approx(x - y + math.hypot(x_high - x, y - y_low))
    assert balanced.low == pytest.approx((x + y - math.hypot(x - x_low, y - y_low)) / 2)
    assert balanced.high == pytest.approx((x + y + math.hypot(x_high - x, y_high - y)) / 2)


def test_newcombe_paired():
    # Uncorrelated, which 12 x 3 = 6 x 6 are, it is the interval of independent shares.
    one = np.array([1] * 18 + [0] * 9, bool)
    two = np.array([1] * 12 + [0] * 6 + [1] * 6 + [0] * 3, bool)
    assert newcombe_paired(one, two) == pytest.approx(newcombe(Rate(18, 27), Rate(18, 27))[1])
    # By hand, both 20, first alone 12, second alone 2, neither 16: phi = (320 - 24 - 25) / sqrt(32 18 22 28).
    one = np.array([1] * 32 + [0] * 18, bool)
    two = np.array([1] * 20 + [0] * 12 + [1] * 2 + [0] * 16, bool)
    phi = 271 / math.sqrt(32 * 18 * 22 * 28)
    (p_low, p_high), (q_low, q_high) = Rate(32, 50).wilson(), Rate(22, 50).wilson()
    low = 20 - math.sqrt((64 - p_low) ** 2 - 2 * phi * (64 - p_low) * (q_high - 44) + (q_high - 44) ** 2)
    high = 20 + math.sqrt((p_high - 64) ** 2 - 2 * phi * (p_high - 64) * (44 - q_low) + (44 - q_low) ** 2)
    assert newcombe_paired(one, two) == pytest.approx((low, high))
    assert newcombe_paired(one, two) == pytest.approx((5.62, 32.9), abs=0.6)


row = st.tuples(st.booleans(), st.sampled_from([1, 0, -1]), st.sampled_from([1, 0, -1]), st.sampled_from("abcd"))


@settings(max_examples=25, deadline=None)
@given(st.lists(row, min_size=2, max_size=20))
def test_the_interval_holds_the_difference(rows):
    gold, one, two, references = (np.array(column) for column in zip(*rows, strict=True))
    (found,) = compared(gold, np.array([one, two], np.int8), references, resamples=99, permutations=99)
    for name in MEASURES:
        d = found[name]
        assert 0 < d.p <= 1
        if not math.isnan(d.difference):
            assert d.low - 1e-9 <= d.difference <= d.high + 1e-9 and d.high - d.low > 0.1
