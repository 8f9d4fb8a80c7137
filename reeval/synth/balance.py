"""What keeps a set of pairs from giving its labels away.

Two things would let a judge do without reading: an aspect and type that nearly always has one severity, and words that
nearly always stand in significant differences. Against the first, errors are counted by cell and severity. Against the
second, two linear classifiers learn along from the pairs written so far, and of several drafts the one is taken whose
label they expect least. All of it follows from the pairs in their order alone, so that a run can be resumed, and sums
are exact (`fsum`), so that every Python makes the same set.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from reeval.pairs import Pair
from reeval.taxonomy import SEVERITIES

_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*|\d+(?:\.\d+)?|[.,]")
# Step size, decay and first sum of squares of the classifiers: a new sign is learned at once and forgotten slowly.
_RATE, _DECAY, _FIRST = 1.5, 1e-4, 0.1

Features = dict[str, float]


class Balance:
    """Counts and classifiers over the pairs written so far."""

    def __init__(self) -> None:
        self.cells: Counter[tuple[str, str, str]] = Counter()
        self.labels: Counter[bool] = Counter()
        self._classifiers = [_Classifier(), _Classifier()]

    def add(self, pair: Pair) -> None:
        """Count and learn a pair."""
        assert pair.errors is not None
        for error in pair.errors:
            assert error.severity is not None
            self.cells[error.aspect, error.type, error.severity] += 1
        self.labels[pair.significant] += 1
        both = (difference(pair.reference, pair.candidate), _bag(pair.candidate))
        for classifier, features in zip(self._classifiers, both, strict=True):
            classifier.learn(features, pair.significant)

    def excess(self, aspect: str, kind: str, severity: str) -> float:
        """How much a cell has had of this severity already, against the other one and against all cells."""
        other = SEVERITIES[1 - SEVERITIES.index(severity)]
        n, m = self.cells[aspect, kind, severity], self.cells[aspect, kind, other]
        return 5.0 * (n - m) / math.sqrt(n + m + 9.0) + 0.6 * math.sqrt(n)

    def expected(self, pair: Pair) -> float:
        """How much a pair's label is to be expected, in logits: large where words give it away."""
        both = (difference(pair.reference, pair.candidate), _bag(pair.candidate))
        margin = math.fsum(c.margin(features) for c, features in zip(self._classifiers, both, strict=True))
        return margin if pair.significant else -margin

    def leans(self, words: Features, significant: bool) -> float:
        """How much these words of a difference make a label expected, in logits."""
        by_difference, by_candidate = self._classifiers
        standing = {word[1:]: value if word[0] == "+" else -value for word, value in words.items()}
        margin = by_difference.margin(words) + by_candidate.margin(standing)
        return margin if significant else -margin


class _Classifier:
    """Logistic regression, one step a pair, each weight at a rate of its own (AdaGrad): rare words are learned, too."""

    def __init__(self) -> None:
        self.weights: defaultdict[str, float] = defaultdict(float)
        self.squares: defaultdict[str, float] = defaultdict(lambda: _FIRST)

    def margin(self, features: Mapping[str, float]) -> float:
        weights = self.weights
        return math.fsum(weights[name] * value for name, value in features.items() if name in weights)

    def learn(self, features: Mapping[str, float], label: bool) -> None:
        probability = 1.0 / (1.0 + math.exp(-max(min(self.margin(features), 30.0), -30.0)))
        for name, value in features.items():
            gradient = (float(label) - probability) * value
            self.squares[name] += gradient * gradient
            step = _RATE * gradient / math.sqrt(self.squares[name])
            self.weights[name] = (1.0 - _DECAY) * self.weights[name] + step


def difference(reference: str, candidate: str) -> Features:
    """The words that one report has more often than the other, "-word" lost and "+word" added, by log(1 + count); and
    how many those are."""
    before, after = Counter(_WORD.findall(reference.lower())), Counter(_WORD.findall(candidate.lower()))
    lost, added = before - after, after - before
    found = {f"-{word}": math.log1p(n) for word, n in lost.items()}
    found |= {f"+{word}": math.log1p(n) for word, n in added.items()}
    amounts = {"lost": lost.total(), "added": added.total(), "both": (before & after).total()}
    found |= {f"# {name}": 0.5 * math.log1p(n) for name, n in amounts.items()}
    longer = added.total() - lost.total()
    found[f"longer {int(math.copysign(abs(longer).bit_length(), longer))}"] = 1.0
    found[f"changed {(added.total() + lost.total()).bit_length()}"] = 1.0
    return found


def changed_words(old: str, new: str) -> Features:
    """The words of `difference` alone, without the amounts: for a part of a report."""
    return {name: value for name, value in difference(old, new).items() if name[0] in "+-"}


def _bag(candidate: str) -> Features:
    return {word: math.log1p(n) for word, n in Counter(_WORD.findall(candidate.lower())).items()}
