"""Evaluators beside people: Kendall's tau with their counts of errors, and how far people agree among themselves."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reeval.evaluate.summary import number, numbers, rated
from reeval.metrics import dr
from reeval.metrics.correlation import ceiling, kendall, spread
from reeval.metrics.kappa import cohen, fleiss
from reeval.metrics.rates import rate
from reeval.pairs import Pair
from reeval.study.columns import Column
from reeval.study.ratings import Ratings, ratings


def humans(
    pairs: Sequence[Pair],
    columns: Mapping[str, Mapping[str, Column]],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Any] | None:
    """None where no pair has ratings. `counts` is null where raters gave labels alone.

    The ceiling of `counts` is each rater's tau-b with the mean of the other raters, that of `labels` each rater's D and
    R against the majority of the others; pairs on which the others are split evenly are left out, and counted.
    """
    found = ratings(pairs)
    if found is None:
        return None
    references = np.array([pair.reference_id for pair in pairs])
    return {
        "raters": found.raters,
        "counts": _counts(
            found, references, columns, confidence=confidence, resamples=resamples, seed=seed
        ),
        "labels": _labels(found, confidence),
    }  # fmt: skip


def _counts(
    found: Ratings,
    references: np.ndarray,
    columns: Mapping[str, Mapping[str, Column]],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Any] | None:
    counted = (~np.isnan(found.significant_RP)).any(0)
    if not counted.any():
        return None
    sides = {"significant": found.significant_RP, "all": found.all_RP}
    means = {name: np.nanmean(side[:, counted], axis=0) for name, side in sides.items()}

    def tau(worse: np.ndarray, mean: np.ndarray) -> dict[str, Any]:
        known = ~np.isnan(worse)
        made = kendall(
            worse[known],
            mean[known],
            references[counted][known],
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )
        low, high = numbers(made.interval)
        return {
            "tau_b": number(made.tau_b),
            "low": low,
            "high": high,
            "tau_c": number(made.tau_c),
            "n": made.n,
            "unjudged": int((~known).sum()),
            "resamples": made.resamples,
        }

    return {
        "pairs": int(counted.sum()),
        "references": len(np.unique(references[counted])),
        "evaluators": {
            name: {
                mode: {
                    value: {side: tau(worse[counted], mean) for side, mean in means.items()}
                    for value, worse in column.values.items()
                }
                for mode, column in modes.items()
            }
            for name, modes in columns.items()
        },
        "ceiling": {name: _ceiling(found.raters, side) for name, side in sides.items()},
    }


def _ceiling(raters: Sequence[str], ratings_RP: np.ndarray) -> dict[str, Any]:
    taus = ceiling(ratings_RP)
    mean, least, greatest = numbers(spread([tau for tau, _ in taus]))
    each = {rater: {"tau_b": number(tau), "n": n} for rater, (tau, n) in zip(raters, taus, strict=True)}
    return {"each": each, "mean": mean, "least": least, "greatest": greatest}


def _labels(found: Ratings, confidence: float) -> dict[str, Any]:
    labels = found.label_RP
    each = {rater: _against_others(labels, r, confidence) for r, rater in enumerate(found.raters)}
    means = {
        name: numbers(spread([one[name]["percent"] for one in each.values() if one[name]["percent"] is not None]))
        for name in ("D", "R")
    }
    pairwise = []
    for a, b in itertools.combinations(range(len(labels)), 2):
        both = ~np.isnan(labels[a]) & ~np.isnan(labels[b])
        kappa = number(cohen(labels[a, both], labels[b, both]))
        pairwise.append({"raters": [found.raters[a], found.raters[b]], "kappa": kappa, "n": int(both.sum())})
    by_all = ~np.isnan(labels).any(0)
    ones = labels[:, by_all].sum(0)
    several = len(labels) > 1
    return {
        "pairs": int((~np.isnan(labels)).any(0).sum()),
        "each": each,
        **{
            name: dict(zip(("mean", "least", "greatest"), values, strict=True)) for name, values in means.items()
        },
        "cohen": pairwise,
        "fleiss": {
            "kappa": number(fleiss(np.stack([ones, len(labels) - ones], axis=-1))) if several else None,
            "n": int(by_all.sum()),
        },
    }  # fmt: skip


def _against_others(labels_RP: np.ndarray, rater: int, confidence: float) -> dict[str, Any]:
    """D and R of a rater, the majority of the others being right."""
    mine, others = labels_RP[rater], np.delete(labels_RP, rater, axis=0)
    given, flagged = (~np.isnan(others)).sum(0), np.nansum(others, axis=0)
    rated_ = ~np.isnan(mine) & (given > 0)
    split = rated_ & (2 * flagged == given)
    clear = rated_ & ~split
    gold = 2 * flagged[clear] > given[clear]
    right = dr.correct(gold, mine[clear].astype(np.int8))
    return {
        "D": rated(rate(right, gold), confidence),
        "R": rated(rate(right, ~gold), confidence),
        "split": int(split.sum()),
    }
