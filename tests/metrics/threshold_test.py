import math

import numpy as np
import pytest

from reeval.metrics import dr
from reeval.metrics.threshold import best, cross_validated, verdicts

INF, NAN = math.inf, math.nan


def drawn(n=120, *, seed=0, shift=0.3, steps=None):
    """Scores that are lower for significant pairs, and three pairs a reference."""
    rng = np.random.default_rng(seed)
    gold = rng.random(n) < 0.5
    scores = rng.normal(0.5 - shift * gold, 0.2)
    return gold, np.round(scores * steps) / steps if steps else scores, np.array([f"r{i // 3}" for i in range(n)])


def balanced(gold, scores, threshold):
    found = dr.score(gold, verdicts(scores, threshold), np.zeros_like(gold))
    return found.balanced


def test_by_hand():
    gold = np.array([True, True, False, False])
    assert best(gold, np.array([0.1, 0.3, 0.5, 0.9])) == pytest.approx(0.4)
    assert best(gold, np.array([0.1, 0.7, 0.5, 0.9])) in (pytest.approx(0.3), pytest.approx(0.8))
    # A score that is the wrong way round: the best is not to look at it.
    assert math.isinf(best(gold, np.array([0.9, 0.8, 0.2, 0.1])))
    assert math.isinf(best(gold, np.full(4, 0.5))) and math.isinf(best(gold, np.full(4, NAN)))
    assert verdicts(np.array([0.1, 0.4, NAN]), 0.4).tolist() == [1, 0, -1]
    assert verdicts(np.array([0.1, NAN]), INF).tolist() == [1, -1] and verdicts(np.array([0.1]), -INF).tolist() == [0]


def test_one_kind_alone():
    assert best(np.array([True, True]), np.array([0.2, 0.8])) == INF
    assert best(np.array([False, False]), np.array([0.2, 0.8])) == -INF


def test_neighbours_without_a_middle():
    low = 1.0
    high = np.nextafter(low, 2)
    threshold = best(np.array([True, False]), np.array([low, high]))
    assert verdicts(np.array([low, high]), threshold).tolist() == [1, 0]


def test_scores_as_far_apart_as_they_can_be():
    assert best(np.array([True, False]), np.array([-1e308, 1e308])) == 0


@pytest.mark.parametrize("steps", [None, 5, 2])
@pytest.mark.parametrize("missing", [0, 9])
def test_no_threshold_is_better(steps, missing):
    gold, scores, _ = drawn(steps=steps)
    scores[:missing] = NAN
    found = balanced(gold, scores, best(gold, scores))
    every = [balanced(gold, scores, t) for t in (-INF, INF, *scores[missing:], *(scores[missing:] + 1e-9))]
    assert found == pytest.approx(max(every))


def test_each_fold_is_judged_by_what_others_chose():
    gold, scores, references = drawn()
    found = cross_validated(gold, scores, references)
    assert len(found.of_folds) == 5 and len(set(found.of_folds)) > 1
    for reference in np.unique(references):
        assert len(set(found.fold[references == reference])) == 1
    for fold, threshold in enumerate(found.of_folds):
        mine = found.fold == fold
        assert threshold == best(gold[~mine], scores[~mine])
        np.testing.assert_array_equal(found.judged[mine], verdicts(scores[mine], threshold))
    assert found.threshold == best(gold, scores)
    np.testing.assert_array_equal(found.in_sample, verdicts(scores, found.threshold))


def test_a_score_that_knows_nothing_gains_nothing():
    in_sample, out = [], []
    for seed in range(20):
        gold, scores, references = drawn(60, seed=seed, shift=0)
        found = cross_validated(gold, scores, references)
        for kept, judged in ((in_sample, found.in_sample), (out, found.judged)):
            kept.append(dr.score(gold, judged, np.zeros_like(gold)).balanced)
    assert np.mean(in_sample) > 55 and 45 < np.mean(out) < 53


def test_the_order_of_pairs_makes_no_difference_and_the_seed_does():
    gold, scores, references = drawn()
    found, order = cross_validated(gold, scores, references), np.random.default_rng(1).permutation(len(gold))
    again = cross_validated(gold[order], scores[order], references[order])
    np.testing.assert_array_equal(again.judged, found.judged[order])
    assert (cross_validated(gold, scores, references, seed=1).fold != found.fold).any()


def test_few_references():
    gold, scores, references = drawn(6)
    assert len(cross_validated(gold, scores, references).of_folds) == 2
    with pytest.raises(ValueError, match="pairs of two or more"):
        cross_validated(gold[:3], scores[:3], references[:3])
