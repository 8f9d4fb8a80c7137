"""The D-R curve: what D and R a judge would have at each threshold of its probabilities, and the area under it.

At a threshold t a pair is flagged where its score is at least t:

    D(t)  of the pairs with a significant error, the percentage with score >= t
    R(t)  of the pairs without one, the percentage with score < t

A pair that could not be parsed has no score. As in `dr`, it counts in the n of D or R and is wrong, here at every
threshold: with such pairs the curve does not reach 100, and the area is the worst case. The area, 0 to 1, is the
probability that a significant pair scores above an insignificant one, a tie counting half and an unparsable pair as a
loss. A judge that cannot tell them apart has 0.5; a shift of its threshold moves it along the curve and leaves the
area as it is.
"""

import dataclasses
import math

import numpy as np
from scipy import optimize, stats

from reeval.metrics.intervals import RESAMPLES, draws, envelope, percentiles


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """One point a threshold, from "flag nothing" to "flag all"; between two points the curve is straight.

    Attributes:
        thresholds: [K] float, falling: infinity, then each score that occurs.
        D, R: [K] in percent; D never falls, R never rises.
        area: under R over D, 0 to 1.
        interval: the 95 % interval of the area; see `curve`.
    """

    thresholds: np.ndarray
    D: np.ndarray
    R: np.ndarray
    area: float
    interval: tuple[float, float]

    def thinned(self, most: int = 201) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Thresholds, D and R of at most so many points, the ends among them, evenly spaced along D-R."""
        # D-R rises from end to end, so the points next to even steps of it miss no bend by more than a step.
        bias = self.D - self.R
        wanted = np.linspace(bias[0], bias[-1], most)
        chosen = np.unique(np.searchsorted(bias, wanted, side="left")) if len(bias) > most else np.arange(len(bias))
        return self.thresholds[chosen], self.D[chosen], self.R[chosen]


def curve(
    gold_significant: np.ndarray,
    scores: np.ndarray,
    reference_ids: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve | None:
    """The D-R curve of one judge; None unless there are pairs of both kinds.

    The area's interval is the envelope of two, for the reasons that `intervals` gives: a bootstrap of references, and
    Newcombe's fifth for this statistic (Stat. Med. 2006; 25:559), which keeps its width where the area is 0 or 1.

    Args:
        gold_significant: bool [P].
        scores: float [P], the probability that a pair is significant; nan for one that could not be parsed.
        reference_ids: [P] of any sortable type, the cluster of each pair.
        seed: the same seed and pairs give the same ends, whatever the order of the pairs.
    """
    assert gold_significant.dtype == bool and gold_significant.shape == scores.shape == reference_ids.shape
    assert not np.isinf(scores).any(), "a score is a probability, or nan"
    significant, insignificant = int(gold_significant.sum()), int((~gold_significant).sum())
    if not (significant and insignificant):
        return None
    order = np.argsort(scores, kind="stable")  # nan last
    score_P, gold_P = scores[order], gold_significant[order]
    parsed = int(np.count_nonzero(~np.isnan(scores)))
    names, cluster = np.unique(reference_ids, return_inverse=True)
    ranks = _Ranks(score_P[:parsed], gold_P, cluster[order])

    thresholds, first = np.unique(score_P[:parsed], return_index=True)
    # At each threshold, and above all: how many pairs of each kind have a lower score.
    lower = np.append(first, parsed)
    below_significant, below_insignificant = (
        np.append(0, np.cumsum(kind[:parsed]))[lower] for kind in (gold_P, ~gold_P)
    )
    D = 100 * (below_significant[-1] - below_significant) / significant
    R = 100 * below_insignificant / insignificant
    area = float(ranks.area(np.ones((1, len(names)), int))[0])
    areas = np.concatenate([ranks.area(times) for times in draws(len(names), resamples, seed)])
    ends = envelope(_newcombe(area, significant, insignificant, confidence), percentiles(areas, confidence))
    return Curve(np.append(thresholds, np.inf)[::-1], D[::-1], R[::-1], area, ends)


@dataclasses.dataclass(frozen=True, slots=True)
class _Ranks:
    """Pairs by rising score, the unparsable ones last: what the area of any resample is made of.

    Attributes:
        score_P: of the parsed ones.
        gold_P, cluster_P: of all.
    """

    score_P: np.ndarray
    gold_P: np.ndarray
    cluster_P: np.ndarray

    def area(self, times_NC: np.ndarray) -> np.ndarray:
        """[N] areas where each of C references occurs so many times; nan where one kind of pair does not."""
        gold_P, parsed = self.gold_P, len(self.score_P)
        significant_NS, insignificant_NI = times_NC[:, self.cluster_P[gold_P]], times_NC[:, self.cluster_P[~gold_P]]
        scores_S, scores_I = self.score_P[gold_P[:parsed]], self.score_P[~gold_P[:parsed]]
        before_NI = np.pad(np.cumsum(insignificant_NI, axis=1), ((0, 0), (1, 0)))
        # What a significant pair wins: the insignificant ones below it, and half of those beside it.
        below, up_to = (before_NI[:, np.searchsorted(scores_I, scores_S, side)] for side in ("left", "right"))
        won_N = np.einsum("ns,ns->n", significant_NS[:, : len(scores_S)], below + up_to) / 2
        all_N = significant_NS.sum(1) * insignificant_NI.sum(1)
        return np.divide(won_N, all_N, out=np.full(len(all_N), math.nan), where=all_N > 0)


def _newcombe(area: float, m: int, n: int, confidence: float) -> tuple[float, float]:
    """The areas that lie as many standard errors of their own from the one found, pairs taken as independent."""
    z, middle = stats.norm.ppf((1 + confidence) / 2), (m + n) / 2 - 1

    def excess(true: float) -> float:
        spread = 1 + middle * ((1 - true) / (2 - true) + true / (1 + true))
        return (area - true) ** 2 - z**2 * true * (1 - true) * spread / (m * n)

    # Not from the area itself: where it is 0 or 1, it is a root, too.
    low = 0.0 if area == 0 else optimize.brentq(excess, 0.0, area * (1 - 1e-9))
    high = 1.0 if area == 1 else optimize.brentq(excess, area + (1 - area) * 1e-9, 1.0)
    return float(low), float(high)
