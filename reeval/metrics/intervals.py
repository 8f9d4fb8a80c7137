"""95 % intervals of D, R, (D+R)/2, their harmonic mean and D-R, and of what two judges differ by in each.

Pairs made from one reference succeed and fail together. So the references, not the pairs, are resampled (a cluster
bootstrap with percentile ends). A bootstrap only re-deals what it was given: where a judge is right on every pair, or
wrong on every one, each resample says the same, and the interval would collapse to a point that claims certainty. The
same happens with a single reference. Therefore each interval reported is the envelope of the bootstrap's and of one
that takes pairs as independent and never has zero width: Wilson's for D and R, and for what is made of both Newcombe's
(Stat. Med. 1998; 17:873, method 10), which joins the Wilson intervals of D and R by squaring and adding. It is
conservative: at least as wide as either.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

import numpy as np

from reeval.metrics import dr
from reeval.metrics.rates import Rate, rate

RESAMPLES = 5_000
_PORTION = 250
Ends = tuple[float, float]
_UNKNOWN: Ends = (math.nan, math.nan)


@dataclasses.dataclass(frozen=True, slots=True)
class Intervals:
    """Ends in percent (bias: percentage points); nan where there is no pair to know from."""

    D: Ends
    R: Ends
    balanced: Ends
    harmonic: Ends
    bias: Ends
    references: int


@dataclasses.dataclass(frozen=True, slots=True)
class Resampled:
    """D and R, in percent, of K judges in N resamples of the references, the same N for all judges.

    Attributes:
        D_KN, R_KN: float; nan in a resample without a pair of the kind.
        references: how many there are.
    """

    D_KN: np.ndarray
    R_KN: np.ndarray
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
    """The intervals of one judge over pairs that share references.

    Args:
        gold_significant: bool [P].
        judged: int8 [P], as in `dr.score`.
        reference_ids: [P] of any sortable type, the cluster of each pair.
        seed: the same seed and pairs give the same ends, whatever the order of the pairs.
    """
    drawn = resampled(gold_significant, judged[None], reference_ids, resamples=resamples, seed=seed)
    return intervals_of(gold_significant, judged, drawn, 0, confidence)


def resampled(
    gold_significant: np.ndarray,
    judged_KP: np.ndarray,
    reference_ids: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Resampled:
    """D and R of judges on the same pairs; arguments as in `intervals`, but for `judged_KP`, int8 [K, P]."""
    names, cluster = np.unique(reference_ids, return_inverse=True)
    right_KP = [dr.correct(gold_significant, judged) for judged in judged_KP]
    columns = [gold_significant, ~gold_significant]
    columns += [right & kind for right in right_KP for kind in (gold_significant, ~gold_significant)]
    counts = np.stack([np.bincount(cluster, column, len(names)) for column in columns], axis=-1)  # [C, 2 + 2K]
    drawn = np.concatenate([times @ counts for times in draws(len(names), resamples, seed)])  # [N, 2 + 2K]
    with np.errstate(invalid="ignore"):  # 0/0 is nan, as promised
        D_NK, R_NK = 100 * drawn[:, 2::2] / drawn[:, :1], 100 * drawn[:, 3::2] / drawn[:, 1:2]
    return Resampled(D_NK.T, R_NK.T, len(names))


def draws(references: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of C references occurs in each resample, float [n, C], in portions of at most 250 resamples.

    To draw C references with replacement is to draw how often each occurs. Of the same arguments the same comes, so
    that what is compared is compared on the same resamples.
    """
    for portion in _drawn(references, resamples, seed):
        yield portion.astype(float)


@functools.lru_cache(maxsize=2)
def _drawn(references: int, resamples: int, seed: int) -> list[np.ndarray]:
    # Drawing takes longer than most of what is done with the draws, and a study asks for the same ones many times.
    random = np.random.default_rng(seed)
    even = np.full(references, 1 / references)
    return [
        random.multinomial(references, even, min(_PORTION, resamples - start)).astype(np.uint16)
        for start in range(0, resamples, _PORTION)
    ]


def intervals_of(
    gold_significant: np.ndarray, judged: np.ndarray, drawn: Resampled, judge: int, confidence: float = 0.95
) -> Intervals:
    """The intervals of one of the judges whose D and R were resampled."""
    right = dr.correct(gold_significant, judged)
    D, R = rate(right, gold_significant), rate(right, ~gold_significant)
    D_N, R_N = drawn.D_KN[judge], drawn.R_KN[judge]
    single = D.wilson(confidence), R.wilson(confidence)
    if D.n and R.n:
        balanced, bias = newcombe(D, R, confidence)
        harmonic = _harmonic(D.percent, R.percent, *single)
    else:
        balanced = bias = harmonic = _UNKNOWN
    return Intervals(
        D=envelope(single[0], percentiles(D_N, confidence)),
        R=envelope(single[1], percentiles(R_N, confidence)),
        balanced=envelope(balanced, percentiles((D_N + R_N) / 2, confidence)),
        harmonic=envelope(harmonic, percentiles(harmonics(D_N, R_N), confidence)),
        bias=envelope(bias, percentiles(D_N - R_N, confidence)),
        references=drawn.references,
    )


def newcombe(D: Rate, R: Rate, confidence: float = 0.95) -> tuple[Ends, Ends]:
    """Newcombe's hybrid score intervals of (D+R)/2 and D-R, pairs taken as independent."""
    d, r = (D.percent, *D.wilson(confidence)), (R.percent, *R.wilson(confidence))
    return squared_and_added(dr.balanced, d, r), squared_and_added(dr.bias, d, r, falls_in_second=True)


def squared_and_added(
    of: Callable[[float, float], float],
    first: tuple[float, float, float],
    second: tuple[float, float, float],
    *,
    falls_in_second: bool = False,
) -> Ends:
    """The interval of a function of two independent estimates, each given as (value, low, high).

    Each estimate is moved to its own end while the other stays, and the two distances are squared and added: for a
    sum or a difference that is Newcombe's method. `of` rises in the first, and rises or falls in the second.
    """
    (x, x_low, x_high), (y, y_low, y_high) = first, second
    if falls_in_second:
        y_low, y_high = y_high, y_low
    here = of(x, y)
    low = here - math.hypot(here - of(x_low, y), here - of(x, y_low))
    high = here + math.hypot(here - of(x_high, y), here - of(x, y_high))
    # A harmonic mean of two zeros is moved by neither alone.
    return (low, high) if low < high else (of(x_low, y_low), of(x_high, y_high))


def harmonics(D: np.ndarray, R: np.ndarray) -> np.ndarray:
    """`dr.harmonic` of arrays."""
    both = D + R
    return np.divide(2 * D * R, both, out=np.where(np.isnan(both), math.nan, 0.0), where=both > 0)


def percentiles(values: np.ndarray, confidence: float) -> Ends:
    """The ends between which the middle share of the values lies, nan left out; (nan, nan) if there is none."""
    values = values[~np.isnan(values)]
    if not values.size:
        return _UNKNOWN
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def envelope(one: Ends, other: Ends) -> Ends:
    """The least interval that holds both; where only one is known, that one."""
    if math.isnan(other[0]):
        return one
    return (min(one[0], other[0]), max(one[1], other[1])) if not math.isnan(one[0]) else one


def _harmonic(d: float, r: float, d_ends: Ends, r_ends: Ends) -> Ends:
    low, high = squared_and_added(dr.harmonic, (d, *d_ends), (r, *r_ends))
    return max(0.0, low), min(100.0, high)
