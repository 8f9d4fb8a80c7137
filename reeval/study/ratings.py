"""What people said of pairs: `metadata.ratings`, by rater either numbers of errors or a label.

    "ratings": {"r1": {"significant": 2, "insignificant": 0}, "r2": {"significant": 1, "insignificant": 1}}
    "ratings": {"r1": "significant", "r2": "insignificant"}

A rater who counted a significant error has labelled the pair significant.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reeval.pairs import Pair
from reeval.taxonomy import SEVERITIES


@dataclasses.dataclass(frozen=True, slots=True)
class Ratings:
    """Of R raters and P pairs, nan where a rater did not rate a pair, or gave a label in place of numbers.

    Attributes:
        significant_RP, all_RP: numbers of errors.
        label_RP: 1 significant, 0 insignificant.
    """

    raters: list[str]
    significant_RP: np.ndarray
    all_RP: np.ndarray
    label_RP: np.ndarray


def ratings(pairs: Sequence[Pair]) -> Ratings | None:
    """None where no pair has any.

    Raises:
        ValueError: for ratings of another form.
    """
    rows = [_of(pair) for pair in pairs]
    raters = sorted({rater for row in rows for rater in row})
    if not raters:
        return None
    significant, every, label = (np.full((len(raters), len(pairs)), math.nan) for _ in range(3))
    for p, row in enumerate(rows):
        for rater, said in row.items():
            r = raters.index(rater)
            if isinstance(said, str):
                label[r, p] = said == "significant"
            else:
                significant[r, p], every[r, p] = said["significant"], sum(said.values())
                label[r, p] = said["significant"] > 0
    return Ratings(raters, significant, every, label)


def _of(pair: Pair) -> Mapping[str, Any]:
    given = pair.metadata.get("ratings")
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(_is_rating(said) for said in given.values()):
        raise ValueError(
            f"pair {pair.pair_id!r}: metadata.ratings must have for each rater a label, significant or insignificant, "
            'or the numbers {"significant": 1, "insignificant": 0}'
        )
    return given


def _is_rating(said: Any) -> bool:
    if isinstance(said, str):
        return said in SEVERITIES
    return (
        isinstance(said, dict)
        and set(said) == set(SEVERITIES)
        and all(
            isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) and n >= 0
            for n in said.values()
        )
    )
