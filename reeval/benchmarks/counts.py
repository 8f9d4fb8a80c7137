"""From counts of errors to one label a pair, for benchmarks whose raters counted without marking words."""

from collections.abc import Mapping, Sequence
from typing import Any

from reeval.taxonomy import SEVERITIES

RULES = {
    "majority": "more than half of the raters count a significant error",
    "any": "at least one rater counts a significant error",
    "mean": "the mean of the raters' numbers of significant errors is at least 1",
}

# Of one rater: category -> severity -> number of errors.
Rating = Mapping[str, Mapping[str, float]]


def graded(ratings: Sequence[Rating], rule: str) -> dict[str, Any]:
    """The `label` of a pair by a rule of `RULES`, and as `metadata` the rule and the means that it comes from."""
    assert ratings and rule in RULES, (len(ratings), rule)
    numbers = [sum(rating[category]["significant"] for category in rating) for rating in ratings]
    flagged = sum(number > 0 for number in numbers)
    significant = {
        "majority": flagged > len(ratings) / 2,
        "any": flagged > 0,
        "mean": sum(numbers) >= len(ratings),
    }[rule]
    categories = list(dict.fromkeys(category for rating in ratings for category in rating))
    mean = {
        category: {
            severity: sum(rating.get(category, {}).get(severity, 0.0) for rating in ratings) / len(ratings)
            for severity in SEVERITIES
        }
        for category in categories
    }
    return {
        "label": SEVERITIES[not significant],
        "metadata": {
            "rule": f"significant when {RULES[rule]}",
            "raters": len(ratings),
            "raters_with_a_significant_error": flagged,
            "mean_errors": mean,
        },
    }


def number(value: Any, where: str, column: str) -> float:
    """A count of errors; an empty cell counts none."""
    text = str(value).strip()
    try:
        counted = float(text) if text else 0.0
    except ValueError:
        counted = -1.0
    if not 0 <= counted < float("inf"):  # nan is not, either
        raise ValueError(f"{where}: column {column!r}: must be a number of errors, 0 or more")
    return counted
