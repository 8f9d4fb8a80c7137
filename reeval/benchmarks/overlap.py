"""Does a training set hold reports of a benchmark? By their ids, their texts, and their near-duplicates."""

import re
from collections.abc import Iterable
from typing import Any

from reeval.pairs import Pair

WORDS = 5  # a shingle is five words in a row
THRESHOLD = 0.5  # near-duplicates share half of all the shingles that one of the two has
_PERMUTATIONS = 128
_WORD = re.compile(r"\w+")


class References:
    """The reference reports of a pair file: each id, and each text with the ids that it has."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.texts: dict[tuple[str, ...], set[str]] = {}
        self._seen: set[tuple[str, str]] = set()

    def add(self, pair: Pair) -> None:
        if (pair.reference_id, pair.reference) not in self._seen:
            self._seen.add((pair.reference_id, pair.reference))
            self.ids.add(pair.reference_id)
            # Neither case, layout nor punctuation makes another report of it.
            self.texts.setdefault(tuple(_WORD.findall(pair.reference.lower())), set()).add(pair.reference_id)

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> "References":
        made = cls()
        for pair in pairs:
            made.add(pair)
        return made


def overlap(training: References, benchmark: References) -> dict[str, Any]:
    """Which references of the benchmark the training set has, too.

    `near_duplicates` are found by MinHash over shingles of `WORDS` words and confirmed by their exact Jaccard
    similarity; each reference of the benchmark comes with its nearest, and texts that are the same are not repeated.
    """
    from datasketch import MinHash, MinHashLSH

    def sketch(shingles: set[bytes]) -> Any:
        made = MinHash(num_perm=_PERMUTATIONS)
        made.update_batch(shingles)
        return made

    same = benchmark.texts.keys() & training.texts.keys()
    # Misses cost more than candidates in vain, which the exact similarity weeds out.
    index = MinHashLSH(threshold=THRESHOLD, num_perm=_PERMUTATIONS, weights=(0.1, 0.9))
    wanted = {text: _shingles(text) for text in benchmark.texts if text not in same}
    for text, shingles in wanted.items():
        index.insert(text, sketch(shingles))
    nearest: dict[tuple[str, ...], tuple[float, str]] = {}
    for text, ids in training.texts.items():
        shingles = _shingles(text)
        for found in index.query(sketch(shingles)):
            alike = len(shingles & wanted[found]) / len(shingles | wanted[found])
            if alike >= THRESHOLD and alike > nearest.get(found, (0.0, ""))[0]:
                nearest[found] = (alike, min(ids))
    near = [
        {"benchmark": reference_id, "training": other, "similarity": round(alike, 3)}
        for text, (alike, other) in nearest.items()
        for reference_id in benchmark.texts[text]
    ]
    return {
        "benchmark_references": len(benchmark.ids),
        "shared_ids": sorted(benchmark.ids & training.ids),
        "same_texts": sorted(set().union(*(benchmark.texts[text] for text in same))),
        "near_duplicates": sorted(near, key=lambda entry: (-entry["similarity"], entry["benchmark"])),
        "near_duplicate_rule": f"Jaccard similarity of {WORDS}-word shingles at least {THRESHOLD}",
    }


def _shingles(words: tuple[str, ...]) -> set[bytes]:
    """A report shorter than a shingle is one."""
    return {" ".join(words[i : i + WORDS]).encode() for i in range(max(1, len(words) - WORDS + 1))}
