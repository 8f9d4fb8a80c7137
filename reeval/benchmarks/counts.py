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


def graded(by_rater: Mapping[str, Rating], rule: str) -> dict[str, Any]:
    """The `label` of a pair by a rule of `RULES`, and as `metadata` the rule, the means that it comes from, and each
    rater's numbers of errors."""
    assert by_rater, "a pair that somebody rated"
    ratings = list(by_rater.values())
    totals = {
        rater: {severity: sum(rating[category][severity] for category in rating) for severity in SEVERITIES}
        for rater, rating in by_rater.items()
    }
    numbers = [total["significant"] for total in totals.values()]
    categories = list(dict.fromkeys(category for rating in ratings for category in rating))
    mean = {
        category: {
            severity: sum(rating.get(category, {}).get(severity, 0.0) for rating in ratings) / len(ratings)
            for severity in SEVERITIES
        }
        for category in categories
    }
    return {
        "label": label(numbers, rule),
        "metadata": {
            "rule": f"significant when {RULES[rule]}",
            "raters": len(ratings),
            "raters_with_a_significant_error": sum(number > 0 for number in numbers),
            "mean_errors": mean,
            "ratings": totals,
        },
    }


def label(numbers: Sequence[float], rule: str) -> str:
    """Of a pair in which each rater found so many significant errors."""
    assert numbers and rule in RULES, (len(numbers), rule)
    flagged = sum(number > 0 for number in numbers)
    significant = {
        "majority": flagged > len(numbers) / 2,
        "any": flagged > 0,
        "mean": sum(numbers) >= len(numbers),
    }[rule]
    return SEVERITIES[not significant]


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
