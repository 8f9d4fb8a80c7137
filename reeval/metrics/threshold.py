"""Verdicts of a scalar metric: a threshold chosen by cross-validation across reference reports.

A pair is flagged where its score is below the threshold. Candidates are the middles between two neighbouring scores,
and the two ends, at which nothing or all is flagged; taken is the one with the greatest (D+R)/2, of equals the one with
the least |D-R|, then the lowest. A threshold that was chosen on the pairs it is then judged by flatters the metric. So
references are dealt into folds, and the verdicts on each fold come from the threshold that was chosen on the others:
these are what D and R should be reported of. The threshold of all pairs is for new pairs.
"""

import dataclasses
import math

import numpy as np

from reeval.metrics import dr

FOLDS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Threshold:
    """
    Attributes:
        judged: int8 [P], the out-of-fold verdicts, as in `dr.score`; a pair without a score is UNPARSABLE.
        threshold: chosen on all pairs; -inf flags nothing, inf all that have a score.
        of_folds: [F] float, the one that judged each fold.
        fold: int [P].
        in_sample: int8 [P], the verdicts of `threshold`, which flatter.
    """

    judged: np.ndarray
    threshold: float
    of_folds: np.ndarray
    fold: np.ndarray
    in_sample: np.ndarray


def cross_validated(
    gold_significant: np.ndarray, scores: np.ndarray, reference_ids: np.ndarray, *, folds: int = FOLDS, seed: int = 0
) -> Threshold:
    """Out-of-fold verdicts of a metric, and the thresholds that they come from.

    Args:
        gold_significant: bool [P].
        scores: float [P], higher is a better candidate; nan where there is none.
        reference_ids: [P] of any sortable type; pairs of one reference are never on both sides.
        folds: at most; no more than there are references.
        seed: of the dealing; the order of the pairs makes no difference.
    Raises:
        ValueError: for fewer than two references.
    """
    names, cluster = np.unique(reference_ids, return_inverse=True)
    if len(names) < 2:
        raise ValueError("a threshold is chosen on other references than it is judged by; give pairs of two or more")
    folds = min(folds, len(names))
    dealt = np.empty(len(names), int)
    dealt[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % folds
    fold = dealt[cluster]
    of_folds = np.array([best(gold_significant[fold != f], scores[fold != f]) for f in range(folds)])
    threshold = best(gold_significant, scores)
    return Threshold(verdicts(scores, of_folds[fold]), threshold, of_folds, fold, verdicts(scores, threshold))


def best(gold_significant: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the greatest (D+R)/2 of these pairs; where they are all of one kind, of D or of R alone."""
    known = ~np.isnan(scores)
    values = np.unique(scores[known])
    # Between neighbours that nothing lies between, the upper one: scores below it are flagged.
    middles = np.maximum(values[:-1] / 2 + values[1:] / 2, np.nextafter(values[:-1], math.inf))
    candidates = np.concatenate([[-math.inf], middles, [math.inf]])
    flagged, passed = (
        np.searchsorted(np.sort(scores[known & kind]), candidates, side="left")
        for kind in (gold_significant, ~gold_significant)
    )
    significant, insignificant = int(gold_significant.sum()), int((~gold_significant).sum())
    D = flagged / max(significant, 1)
    R = ((known & ~gold_significant).sum() - passed) / max(insignificant, 1)
    # Rounded, for equals to be equal.
    return float(candidates[np.lexsort((candidates, np.round(np.abs(D - R), 12), -np.round(D + R, 12)))[0]])


def verdicts(scores: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """int8 [P]: flagged below the threshold, of all or of each."""
    return np.where(
        np.isnan(scores), dr.UNPARSABLE, np.where(scores < threshold, dr.SIGNIFICANT, dr.NOT_SIGNIFICANT)
    ).astype(np.int8)
