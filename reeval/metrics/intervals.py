"""95 % intervals of (D+R)/2 and of D-R.

Neither is a proportion, and pairs made from one reference succeed and fail together. So the references, not
the pairs, are resampled (a cluster bootstrap with percentile ends). A bootstrap only re-deals what it was
given: where a judge is right on every pair, or wrong on every one, each resample says the same, and the
interval would collapse to a point that claims certainty. The same happens with a single reference. Therefore
the interval reported is the envelope of the bootstrap's and of Newcombe's (Stat. Med. 1998; 17:873, method
10), which joins the Wilson intervals of D and R and never has zero width. It is conservative: at least as
wide as either.
"""

import dataclasses
import math

import numpy as np

from reeval.metrics.dr import correct
from reeval.metrics.rates import Rate, rate

RESAMPLES = 5_000


@dataclasses.dataclass(frozen=True, slots=True)
class Intervals:
    """Ends in percent (balanced) and percentage points (bias); nan where D or R has no pair."""

    balanced: tuple[float, float]
    bias: tuple[float, float]
    references: int


def intervals(
    gold_significant: np.ndarray,
    judged: np.ndarray,
    reference_ids: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """The intervals of (D+R)/2 and D-R over pairs that share references.

    Args:
        gold_significant: bool [P].
        judged: int8 [P], as in `dr.score`.
        reference_ids: [P] of any sortable type, the cluster of each pair.
        seed: the same seed and pairs give the same ends, whatever the order of the pairs.
    """
    right = correct(gold_significant, judged)
    names, cluster = np.unique(reference_ids, return_inverse=True)
    D, R = rate(right, gold_significant), rate(right, ~gold_significant)
    if not (D.n and R.n):
        return Intervals((math.nan, math.nan), (math.nan, math.nan), len(names))
    # [C, 4]: right and all, significant and insignificant. Rows in an order that the input's does not touch.
    masks = (right & gold_significant, gold_significant, right & ~gold_significant, ~gold_significant)
    counts = np.stack([np.bincount(cluster, mask, len(names)) for mask in masks], axis=-1)
    balanced, bias = newcombe(D, R, confidence)
    ends = _bootstrap(counts, confidence, resamples, seed)
    if ends is not None:
        balanced, bias = _envelope(balanced, ends[0]), _envelope(bias, ends[1])
    return Intervals(balanced, bias, len(names))


def newcombe(D: Rate, R: Rate, confidence: float = 0.95) -> tuple[tuple[float, float], tuple[float, float]]:
    """Newcombe's hybrid score intervals of (D+R)/2 and D-R, pairs taken as independent."""
    (d_low, d_high), (r_low, r_high) = D.wilson(confidence), R.wilson(confidence)
    d, r = D.percent, R.percent
    balanced = (
        ((d + r) - math.hypot(d - d_low, r - r_low)) / 2,
        ((d + r) + math.hypot(d_high - d, r_high - r)) / 2,
    )
    bias = (
        (d - r) - math.hypot(d - d_low, r_high - r),
        (d - r) + math.hypot(d_high - d, r - r_low),
    )
    return balanced, bias


def _bootstrap(counts: np.ndarray, confidence: float, resamples: int, seed: int) -> np.ndarray | None:
    """Percentile ends [2, 2], (balanced, bias) by (low, high), from the counts [C, 4] of C references.

    None where no resample has pairs of both kinds. To draw C references with replacement is to draw how often
    each occurs.
    """
    random, references = np.random.default_rng(seed), len(counts)
    drawn = np.concatenate(  # [resamples, 4]; in portions, because the weights are [portion, C]
        [
            random.multinomial(references, np.full(references, 1 / references), min(250, resamples - start)) @ counts
            for start in range(0, resamples, 250)
        ]
    )
    d_right, d_all, r_right, r_all = drawn[(drawn[:, 1] > 0) & (drawn[:, 3] > 0)].T
    if not d_all.size:
        return None
    D, R = 100 * d_right / d_all, 100 * r_right / r_all
    tail = 100 * (1 - confidence) / 2
    return np.percentile([(D + R) / 2, D - R], [tail, 100 - tail], axis=-1).T


def _envelope(one: tuple[float, float], other: np.ndarray) -> tuple[float, float]:
    return min(one[0], float(other[0])), max(one[1], float(other[1]))
