"""Kendall's rank correlation between a judge's numbers and people's, with intervals that respect references.

tau-b: the share of pairs of cases in the same order less that in opposite order, over those that are tied in neither,
by their geometric mean; 1 is the same order. tau-c (Stuart) divides by the greatest difference that a table of that
many different values allows. Numbers of errors are mostly ties, for which tau-a would be too small.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from reeval.metrics.intervals import RESAMPLES, Ends, draws, percentiles

# Resamples times references squared: what a bootstrap may take, in multiplications.
_WORK = 500_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Kendall:
    """Over `n` cases; nan where all cases of one side are tied. `resamples`: of the interval, which is of tau-b."""

    tau_b: float
    interval: Ends
    tau_c: float
    n: int
    resamples: int


def kendall(
    one: np.ndarray,
    other: np.ndarray,
    reference_ids: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Kendall:
    """tau-b of two columns, float [P], with the percentile ends of a bootstrap of references.

    Of many references fewer resamples are drawn: the work grows with their square. It has no second interval beside
    it: one that is estimated from a handful of references is too narrow.
    """
    tau_b, tau_c = (_scipy(one, other, variant) for variant in "bc")
    if math.isnan(tau_b):
        return Kendall(tau_b, (math.nan, math.nan), tau_c, len(one), 0)
    names, cluster = np.unique(reference_ids, return_inverse=True)
    same, one_differs, other_differs = _between(one, other, cluster, len(names))
    taus: list[float] = []
    for times in draws(len(names), resamples, seed):
        # Each pair of cases as often as both were drawn; copies of one case are tied and count nowhere.
        net, x, y = (np.einsum("nc,nc->n", times @ m, times) for m in (same, one_differs, other_differs))
        taus += np.divide(net, np.sqrt(x * y), out=np.full(len(net), math.nan), where=x * y > 0).tolist()
        if len(taus) * len(names) ** 2 >= _WORK:
            break
    return Kendall(tau_b, percentiles(np.array(taus), confidence), tau_c, len(one), len(taus))


def ceiling(ratings_RP: np.ndarray) -> list[tuple[float, int]]:
    """For each of R raters, tau-b between their numbers and the mean of the others', and over how many cases.

    Args:
        ratings_RP: float, nan where a rater did not rate; a case counts where the rater and another one did.
    """
    found = []
    for rater, mine in enumerate(ratings_RP):
        others = np.delete(ratings_RP, rater, axis=0)
        rated = ~np.isnan(mine) & (~np.isnan(others)).any(0)
        mean = np.nanmean(others[:, rated], axis=0) if rated.any() else np.zeros(0)
        found.append((_scipy(mine[rated], mean, "b"), int(rated.sum())))
    return found


def spread(taus: Sequence[float]) -> tuple[float, float, float]:
    """Mean, least and greatest of those that are known; nan of none."""
    known = [tau for tau in taus if not math.isnan(tau)]
    return (sum(known) / len(known), min(known), max(known)) if known else (math.nan,) * 3


def _scipy(one: np.ndarray, other: np.ndarray, variant: str) -> float:
    if len(one) < 2 or (one == one[0]).all() or (other == other[0]).all():
        return math.nan
    return float(stats.kendalltau(one, other, variant=variant).statistic)


def _between(
    one: np.ndarray, other: np.ndarray, cluster: np.ndarray, clusters: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums [C, C] over cases of each two references: +1 in the same order, -1 in opposite; and 1 where they differ."""
    order = np.argsort(cluster, kind="stable")
    x, y, starts = one[order], other[order], np.searchsorted(cluster[order], np.arange(clusters))
    same, one_differs, other_differs = (np.empty((clusters, clusters)) for _ in range(3))
    ends = np.append(starts[1:], len(one))
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        dx = np.sign(x[start:end, None] - x[None, :])
        dy = np.sign(y[start:end, None] - y[None, :])
        for out, of in ((same, dx * dy), (one_differs, np.abs(dx)), (other_differs, np.abs(dy))):
            out[row] = np.add.reduceat(of.sum(0), starts)
    return same, one_differs, other_differs
