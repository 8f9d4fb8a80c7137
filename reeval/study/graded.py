"""Monotonicity on graded candidates: pairs whose metadata has a `level`, or a `rank`, higher being worse."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reeval.evaluate.summary import number, numbers, rated
from reeval.metrics.ordering import Share, chained, ordering
from reeval.pairs import Pair
from reeval.study.columns import Column

NAMES = ("level", "rank")


def graded(
    pairs: Sequence[Pair],
    columns: Mapping[str, Mapping[str, Column]],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Any] | None:
    """How each evaluator's values order the candidates of each reference; None where no reference has two levels."""
    levels = np.array([level(pair) for pair in pairs], float)
    references = np.array([pair.reference_id for pair in pairs])
    mine = chained(references, levels)
    if not mine.any():
        return None
    made: dict[str, dict[str, dict[str, Any]]] = {}
    first = None
    for name, modes in columns.items():
        made[name] = {}
        for mode, column in modes.items():
            made[name][mode] = {}
            for value, worse in column.values.items():
                found = first = ordering(
                    references[mine], levels[mine], worse[mine], confidence=confidence, resamples=resamples, seed=seed
                )
                made[name][mode][value] = {
                    **{
                        kind: _share(getattr(found, kind), confidence)
                        for kind in ("concordant", "discordant", "tied", "unjudged", "in_order")
                    },
                    "tau_b": number(found.tau),
                    "tau_b_interval": numbers(found.tau_interval),
                }
    return {
        "pairs": int(mine.sum()),
        "chains": len(np.unique(references[mine])),
        "comparisons": None if first is None else first.concordant.rate.n,
        "evaluators": made,
    }


def level(pair: Pair) -> float:
    """nan where there is none. It may be text, as all cells of a CSV file are, and empty.

    Raises:
        ValueError: for one that is not a number.
    """
    for name in NAMES:
        value = pair.metadata.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not math.isfinite(found):
            raise ValueError(f"pair {pair.pair_id!r}: metadata.{name} must be a number, higher for a worse candidate")
        return found
    return math.nan


def _share(share: Share, confidence: float) -> dict[str, Any]:
    """Its interval is the wider one, of chains."""
    low, high = numbers(share.interval)
    return rated(share.rate, confidence) | {"low": low, "high": high}
