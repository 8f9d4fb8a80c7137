"""What a pair file holds, in numbers: gathered line by line, so that a file of any size fits."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reeval.pairs import Pair
from reeval.taxonomy import ASPECTS, CELLS, SEVERITIES, TYPES

Counts = dict[str, int]


class Summary:
    """Counts over the pairs given to `add`. Keeps ids, lengths and digests of the texts, not the texts."""

    def __init__(self) -> None:
        self.pairs = self.identical = self.twice = 0
        self._labels: Counter[str] = Counter()
        self._errors: Counter[tuple[str, str, str | None]] = Counter()
        self._rules: Counter[str] = Counter()
        self._levels: Counter[str] = Counter()
        self._errors_a_pair: Counter[int] = Counter()
        self._lengths: dict[str, list[int]] = {"reference": [], "candidate": []}
        self._references: dict[str, bytes] = {}
        self._seen: set[bytes] = set()

    def add(self, pair: Pair) -> None:
        self.pairs += 1
        self.identical += pair.identical
        texts = _digest(pair.reference + "\0" + pair.candidate)
        self.twice += texts in self._seen
        self._seen.add(texts)
        self._references[pair.reference_id] = _digest(" ".join(pair.reference.split()))
        self._lengths["reference"].append(len(pair.reference.split()))
        self._lengths["candidate"].append(len(pair.candidate.split()))
        if pair.errors is None and pair.label is None:
            self._labels["unlabelled"] += 1
        else:
            self._labels[SEVERITIES[not pair.significant]] += 1
        if pair.errors is not None:
            self._errors_a_pair[len(pair.errors)] += 1
            self._errors.update((error.aspect, error.type, error.severity) for error in pair.errors)
        rules = pair.metadata.get("rules")
        if isinstance(rules, list):
            self._rules.update(rule for rule in rules if isinstance(rule, str))
        level = pair.metadata.get("level")
        if isinstance(level, int):
            self._levels[str(level)] += 1

    def to_json(self) -> dict[str, Any]:
        """All counts; `balance` has the cells of which the taxonomy knows errors of both severities."""
        cells = {cell: self._severities(*cell) for cell in CELLS}
        both = {cell for cell, entry in CELLS.items() if len({rule.severity for rule in entry.rules}) == 2}
        return {
            "pairs": self.pairs,
            "references": len(self._references),
            "reference_texts": len(set(self._references.values())),
            "labels": {name: self._labels[name] for name in (*SEVERITIES, "unlabelled")},
            "label_only": self.pairs - self._errors_a_pair.total() - self._labels["unlabelled"],
            "errors_per_pair": {str(n): self._errors_a_pair[n] for n in sorted(self._errors_a_pair)},
            "errors": self._errors.total(),
            "by_type": {kind: _sum([cells[aspect, kind] for aspect in ASPECTS]) for kind in TYPES},
            "by_aspect": {aspect: _sum([cells[aspect, kind] for kind in TYPES]) for aspect in ASPECTS},
            "by_aspect_and_type": {f"{aspect}/{kind}": counts for (aspect, kind), counts in cells.items()},
            "balance": {
                f"{aspect}/{kind}": counts | {"significant_percent": _share(counts)}
                for (aspect, kind), counts in cells.items()
                if (aspect, kind) in both and any(counts.values())
            },
            "rules": dict(sorted(self._rules.items())),
            "levels": dict(sorted(self._levels.items())),
            "words": {side: _quartiles(lengths) for side, lengths in self._lengths.items()},
            "candidate_repeats_reference": self.identical,
            "exact_duplicates": self.twice,
        }

    def _severities(self, aspect: str, kind: str) -> Counts:
        return {severity: self._errors[aspect, kind, severity] for severity in SEVERITIES}


def _sum(cells: Sequence[Mapping[str, int]]) -> Counts:
    return {severity: sum(cell[severity] for cell in cells) for severity in SEVERITIES}


def _share(counts: Mapping[str, int]) -> float:
    return round(100 * counts["significant"] / sum(counts.values()), 1)


def _quartiles(lengths: list[int]) -> list[int]:
    """Least, quartiles and greatest; empty without a pair."""
    return [round(value) for value in np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1])] if lengths else []


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
