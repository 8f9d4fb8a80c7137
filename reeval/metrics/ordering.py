"""Monotonicity: whether a judge finds more wrong with a candidate that has more wrong with it.

Candidates of one reference, graded by a level (higher is worse), form a chain. Each two of them with different levels
are a comparison: concordant where the judge's value is higher for the higher level, discordant where it is lower, tied
where it is the same. A comparison with a candidate that was not judged is none of these and counts in the n.

A chain is in order where all its comparisons are concordant. Its Kendall's tau-b is (concordant - discordant) /
sqrt(comparisons x those with different values), over comparisons with different levels in the first factor and over
all in the second, one with an unjudged candidate counting as different; it is 0 where all values are the same. Their
mean is over chains, each with the same weight; its interval is of a bootstrap of chains, and where that knows nothing,
because all chains have the same tau, Wilson's for the mean of so many values with two ends.
"""

import dataclasses
import itertools
import math

import numpy as np

from reeval.metrics.intervals import RESAMPLES, Ends, draws, envelope, percentiles
from reeval.metrics.rates import Rate, wilson


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """A rate with an interval: the envelope of Wilson's and of a bootstrap of chains, in percent."""

    rate: Rate
    interval: Ends


@dataclasses.dataclass(frozen=True, slots=True)
class Ordering:
    """Shares of the comparisons, of the chains, and the mean of the chains' tau-b with its interval."""

    concordant: Share
    discordant: Share
    tied: Share
    unjudged: Share
    in_order: Share
    tau: float
    tau_interval: Ends


def chained(reference_ids: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """bool [P]: whether a pair is of a chain, of two different levels at least; levels are nan where there is none."""
    graded = ~np.isnan(levels)
    names, at = np.unique(reference_ids, return_inverse=True)
    low, high = np.full(len(names), math.inf), np.full(len(names), -math.inf)
    np.minimum.at(low, at[graded], levels[graded])
    np.maximum.at(high, at[graded], levels[graded])
    return graded & (low < high)[at]


def ordering(
    reference_ids: np.ndarray,
    levels: np.ndarray,
    values: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Ordering:
    """How a judge's values follow the levels.

    Args:
        reference_ids: [P] of any sortable type, P chained pairs.
        levels: float [P].
        values: float [P], the higher the worse; nan where a pair was not judged.
    """
    names, chain = np.unique(reference_ids, return_inverse=True)
    assert len(names) and chained(reference_ids, levels).all()
    first, second = _within(chain, len(names))
    rises = np.sign(levels[second] - levels[first])
    said = np.sign(values[second] - values[first])
    of = chain[first]

    def count(which: np.ndarray) -> np.ndarray:
        return np.bincount(of, which, len(names))

    unjudged = np.isnan(said)
    compared = count(rises != 0)
    kinds = {
        "concordant": count(rises * said > 0),
        "discordant": count(rises * said < 0),
        "tied": count((rises != 0) & (said == 0)),
        "unjudged": count((rises != 0) & unjudged),
    }
    in_order = (kinds["concordant"] == compared).astype(float)
    different = count(unjudged | (said != 0))
    net = kinds["concordant"] - kinds["discordant"]
    tau = np.divide(net, np.sqrt(compared * different), out=np.zeros(len(names)), where=different > 0)

    columns = np.stack([compared, *kinds.values(), np.ones(len(names)), in_order, tau], axis=-1)
    drawn = np.concatenate([times @ columns for times in draws(len(names), resamples, seed)])

    def share(right: np.ndarray, n: float, drawn_share: np.ndarray) -> Share:
        rate = Rate(int(right.sum()), int(n))
        return Share(rate, envelope(rate.wilson(confidence), percentiles(100 * drawn_share, confidence)))

    mean = float(tau.mean())
    ends = percentiles(drawn[:, 7] / drawn[:, 5], confidence)
    if (tau == tau[0]).all():
        # All chains alike leave nothing to resample. (1 + tau)/2 lies from 0 to 1 as a share does.
        low, high = wilson((1 + mean) / 2, len(names), confidence)
        ends = 2 * low - 1, 2 * high - 1
    return Ordering(
        **{
            name: share(kind, compared.sum(), drawn[:, 1 + i] / drawn[:, 0])
            for i, (name, kind) in enumerate(kinds.items())
        },
        in_order=share(in_order, len(names), drawn[:, 6] / drawn[:, 5]),
        tau=mean,
        tau_interval=ends,
    )


def _within(chain: np.ndarray, chains: int) -> tuple[np.ndarray, np.ndarray]:
    """Each two pairs of one chain, once: their indices."""
    order = np.argsort(chain, kind="stable")
    starts = np.searchsorted(chain[order], np.arange(chains + 1))
    firsts, seconds = [], []
    for start, end in itertools.pairwise(starts):
        one, other = np.triu_indices(end - start, 1)
        firsts.append(order[start + one])
        seconds.append(order[start + other])
    return np.concatenate(firsts), np.concatenate(seconds)
