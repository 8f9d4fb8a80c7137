"""Which error of a verdict answers which error of the gold standard."""

import re
from collections.abc import Sequence

import numpy as np
from scipy import optimize

from reeval.pairs import Error

ENOUGH = 0.5


def match(gold: Sequence[Error], judged: Sequence[Error]) -> list[Error | None]:
    """For each gold error the judged one that answers it, or None; no judged error answers two.

    An answer has the same type and aspect and overlapping spans (`overlap` of at least a half). Among the
    possible assignments, the one with the greatest overlap in sum is taken.
    """
    answers: list[Error | None] = [None] * len(gold)
    if not (gold and judged):
        return answers
    scores = np.array([[overlap(g, j) if _same_cell(g, j) else 0.0 for j in judged] for g in gold])
    # What is below the threshold must not tempt the assignment away from what is above it.
    scores[scores < ENOUGH] = 0.0
    for row, column in zip(*optimize.linear_sum_assignment(scores, maximize=True), strict=True):
        if scores[row, column]:
            answers[row] = judged[column]
    return answers


def overlap(one: Error, other: Error) -> float:
    """How far the spans of two errors agree, 0 to 1.

    On each side where both have words: the share of the shorter span's words that stand in the longer one,
    whatever their order, case and punctuation. The mean of the sides; 0 if there is no such side.
    """
    sides = []
    for name in ("reference_span", "candidate_span"):
        a, b = sorted((_words(getattr(one, name)), _words(getattr(other, name))), key=len)
        if a:
            sides.append(len(a & b) / len(a))
    return sum(sides) / len(sides) if sides else 0.0


def _same_cell(one: Error, other: Error) -> bool:
    return (one.type, one.aspect) == (other.type, other.aspect)


def _words(span: str) -> frozenset[str]:
    return frozenset(re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", span.casefold()))
