"""Whether probabilities mean what they say: the reliability diagram, Brier's score and the expected calibration error.

    Brier   the mean of (p - y)^2, y being 1 for a significant pair and 0 for another: 0 is best
    ECE     the mean, weighted by n, over bins, of |mean p - share significant|, both from 0 to 1

Bins have about equally many pairs, and pairs with equal probabilities share a bin. ECE depends on the bins and is
biased upward where they are small: compare it between judges of the same pairs alone.
"""

import dataclasses

import numpy as np

from reeval.metrics.intervals import RESAMPLES, Ends, draws, percentiles
from reeval.metrics.rates import Rate

BINS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Bin:
    """Pairs whose probability lies from `low` to `high`; of them, how many are significant."""

    low: float
    high: float
    mean: float
    significant: Rate


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """
    Attributes:
        brier_interval: of a bootstrap of references.
        brier_of_share: the score of the probability that is everywhere the share of significant pairs.
    """

    bins: list[Bin]
    brier: float
    brier_interval: Ends
    brier_of_share: float
    ece: float
    n: int


def calibration(
    gold_significant: np.ndarray,
    probabilities: np.ndarray,
    reference_ids: np.ndarray,
    *,
    bins: int = BINS,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Calibration:
    """
    Args:
        gold_significant: bool [P], P at least 1.
        probabilities: float [P], from 0 to 1.
        reference_ids: [P] of any sortable type.
    """
    assert len(probabilities) and not np.isnan(probabilities).any()
    y = gold_significant.astype(float)
    loss = (probabilities - y) ** 2
    made = _bins(probabilities, y, bins)
    names, cluster = np.unique(reference_ids, return_inverse=True)
    counts = np.stack([np.bincount(cluster, minlength=len(names)), np.bincount(cluster, loss, len(names))], axis=-1)
    drawn = np.concatenate([times @ counts for times in draws(len(names), resamples, seed)])
    share = float(y.mean())
    return Calibration(
        bins=made,
        brier=float(loss.mean()),
        brier_interval=percentiles(drawn[:, 1] / drawn[:, 0], confidence),
        brier_of_share=share * (1 - share),
        ece=sum(b.significant.n * abs(b.mean - b.significant.right / b.significant.n) for b in made) / len(y),
        n=len(y),
    )


def _bins(p: np.ndarray, y: np.ndarray, bins: int) -> list[Bin]:
    values, at, n = np.unique(p, return_inverse=True, return_counts=True)
    # Each value goes where the middle of its pairs lies among all, so that equal ones stay together.
    of_value = ((np.cumsum(n) - n / 2) * bins / len(p)).astype(int)
    found = []
    for one in np.unique(of_value):
        mine = of_value[at] == one
        inside = values[of_value == one]
        significant = Rate(int(y[mine].sum()), int(mine.sum()))
        found.append(Bin(float(inside[0]), float(inside[-1]), float(p[mine].mean()), significant))
    return found
