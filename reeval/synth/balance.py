"""What keeps a set of pairs from giving its labels away: counts of what was written so far, and which draft to prefer.

Two things would let a judge do without reading: an aspect and type that nearly always has one severity, and words that
nearly always stand in significant differences. Both are counted over the pairs written so far, and of several drafts
the one is taken that evens the counts out. The counts follow from the pairs alone, so that a run can be resumed.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from reeval.pairs import Error, Pair
from reeval.taxonomy import SEVERITIES

_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*|\d+(?:\.\d+)?")
# Added to both counts of a word: how much a word that was seen a few times only can say.
_PRIOR = 4.0


class Balance:
    """Counts over the pairs written so far: errors by cell and severity, words of the differences by label."""

    def __init__(self) -> None:
        self.cells: Counter[tuple[str, str, str]] = Counter()
        self.labels: Counter[bool] = Counter()
        self._words: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}

    def add(self, pair: Pair) -> None:
        """Count a pair."""
        assert pair.errors is not None
        for error in pair.errors:
            assert error.severity is not None
            self.cells[error.aspect, error.type, error.severity] += 1
        self.labels[pair.significant] += 1
        self._words[pair.significant].update(difference(pair.reference, pair.candidate))

    def excess(self, aspect: str, kind: str, severity: str) -> float:
        """How much this cell has had of this severity already, against the other one and against all cells."""
        other = SEVERITIES[1 - SEVERITIES.index(severity)]
        n, m = self.cells[aspect, kind, severity], self.cells[aspect, kind, other]
        return 2.0 * (n - m) / math.sqrt(n + m + 9.0) + 0.5 * math.log1p(n)

    def tell(self, words: Iterable[str], significant: bool) -> float:
        """How strongly words of a difference would speak for this label, by naive Bayes over the pairs so far."""
        total = {label: self.labels[label] + 2 * _PRIOR for label in (True, False)}
        score = 0.0
        for word in words:
            share = {label: (self._words[label][word] + _PRIOR) / total[label] for label in (True, False)}
            score += math.log(share[significant] / share[not significant])
        return score


def difference(reference: str, candidate: str) -> set[str]:
    """The words that one report has more often than the other: "-word" lost, "+word" added; and, as "#n" and "@n",
    how many there are and how far the lengths differ, in powers of two."""
    before, after = Counter(_WORD.findall(reference.lower())), Counter(_WORD.findall(candidate.lower()))
    lost, added = before - after, after - before
    words = {f"-{word}" for word in lost} | {f"+{word}" for word in added}
    longer = added.total() - lost.total()
    amount = (added.total() + lost.total()).bit_length()
    return words | {f"#{amount}", f"@{int(math.copysign(abs(longer).bit_length(), longer))}"}


def least_telling(balance: Balance, drafts: Sequence[Pair]) -> Pair:
    """Of several drafts of one label, the one whose words speak least for it."""
    return min(drafts, key=lambda pair: balance.tell(difference(pair.reference, pair.candidate), pair.significant))


def cells(errors: Iterable[Error]) -> list[tuple[str, str]]:
    return [(error.aspect, error.type) for error in errors]
