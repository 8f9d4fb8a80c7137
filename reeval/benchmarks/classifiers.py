"""Can a classifier that understands nothing tell significant pairs from insignificant ones?

If words alone or the amount of change give the label away, a judge that learns from the pairs may learn just that.
Each classifier is a logistic regression, as strong as its features allow: balanced classes, strength of the
regularisation chosen by cross-validation inside the training part. Pairs of one reference never stand on both sides.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from reeval.pairs import Pair

FOLDS, INNER_FOLDS = 5, 3
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
# Of each label; with fewer, a fold may hold one label only, and the figure would say little anyway.
FEWEST_REFERENCES = 20
_BINS = 8
_TOKEN = re.compile(r"\w+(?:[.,]\d+)*|[^\w\s]")


def balanced_accuracies(pairs: Sequence[Pair]) -> dict[str, float]:
    """Balanced accuracy in percent of each trivial classifier, 50 being chance: the mean of its recalls of both labels.

    Over the predictions of 5-fold cross-validation grouped by `reference_id`; the same pairs give the same figures.

    Raises:
        ValueError: if a pair has no label, a label has too few references, or scikit-learn is missing.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise ValueError("the trivial classifiers need scikit-learn: pip install 'reeval[check]'") from None
    significant = np.array([pair.significant for pair in pairs])
    references = np.unique([pair.reference_id for pair in pairs], return_inverse=True)[1]
    for label, mask in (("significant", significant), ("insignificant", ~significant)):
        n = len(np.unique(references[mask]))
        if n < FEWEST_REFERENCES:
            raise ValueError(
                f"the trivial classifiers need {label} pairs of at least {FEWEST_REFERENCES} references, not {n}"
            )
    texts = [(_words(pair.reference), _words(pair.candidate)) for pair in pairs]
    features = {name: make(texts) for name, make in CLASSIFIERS.items()}
    return {name: _balanced_accuracy(matrix, significant, references) for name, matrix in features.items()}


Texts = list[tuple[list[str], list[str]]]


def _words(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def _bag(texts: Texts) -> Any:
    """How often each word stands in the candidate."""
    return _counted(Counter(candidate) for _, candidate in texts)


def _bag_of_the_difference(texts: Texts) -> Any:
    """How often each word stands in the candidate more often than in the reference, or less often; with the sums."""
    return _counted(_difference(Counter(reference), Counter(candidate)) for reference, candidate in texts)


def _difference(reference: Counter[str], candidate: Counter[str]) -> dict[str, int]:
    lost, added = reference - candidate, candidate - reference
    sums = {"lost": lost.total(), "added": added.total(), "both": min(lost.total(), added.total())}
    return {f"-{word}": n for word, n in lost.items()} | {f"+{word}": n for word, n in added.items()} | sums


def _counted(counts: Iterator[dict[str, int]] | Iterator[Counter[str]]) -> Any:
    """Sparse [pairs, words] of log(1 + count), of words that stand in two pairs or more."""
    from sklearn.feature_extraction import DictVectorizer

    matrix = DictVectorizer().fit_transform(counts)
    matrix.data = np.log1p(matrix.data)
    return matrix[:, np.flatnonzero(matrix.getnnz(axis=0) > 1)]


def _edit_distance(texts: Texts) -> np.ndarray:
    """[pairs, features]: lengths and distances as they are, and in steps, as a middling one may be the sign."""
    measures = np.array([_measures(reference, candidate) for reference, candidate in texts])
    scaled = (measures - measures.mean(axis=0)) / np.maximum(measures.std(axis=0), 1e-9)
    quantiles = np.quantile(measures, np.arange(1, _BINS) / _BINS, axis=0)
    steps = [column[:, None] >= np.unique(edges) for column, edges in zip(measures.T, quantiles.T, strict=True)]
    return np.hstack([scaled, *steps])


def _measures(reference: list[str], candidate: list[str]) -> list[float]:
    matcher = difflib.SequenceMatcher(None, reference, candidate, autojunk=False)
    changed = [(k1 - k0, c1 - c0) for tag, k0, k1, c0, c1 in matcher.get_opcodes() if tag != "equal"]
    n, m, longest = len(reference), len(candidate), max(len(reference), len(candidate), 1)
    distance = sum(max(change) for change in changed)
    lost, added = (sum(change[side] for change in changed) for side in (0, 1))
    largest = max((max(change) for change in changed), default=0)
    # Without regard to order, so that a moved sentence counts for nothing.
    bags = Counter(reference), Counter(candidate)
    moved_aside = max((bags[0] - bags[1]).total(), (bags[1] - bags[0]).total())
    counts = [n, m, distance, lost, added, len(changed), largest, moved_aside]
    return [*np.log1p(counts), m - n, abs(m - n), distance / longest, moved_aside / longest, len(changed) / longest]


CLASSIFIERS: dict[str, Callable[[Texts], Any]] = {
    "words of the candidate": _bag,
    "words of the difference": _bag_of_the_difference,
    "edit distance": _edit_distance,
}


def _balanced_accuracy(features: Any, significant: np.ndarray, references: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

    predicted = np.zeros_like(significant)
    outer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    inner = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=0)
    for train, test in outer.split(features, significant, references):
        model = LogisticRegression(solver="liblinear", class_weight="balanced", max_iter=1000, random_state=0)
        search = GridSearchCV(model, {"C": STRENGTHS}, scoring="balanced_accuracy", cv=inner)
        search.fit(features[train], significant[train], groups=references[train])
        predicted[test] = search.predict(features[test])
    return 100 * float(balanced_accuracy_score(significant, predicted))
