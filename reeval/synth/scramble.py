"""Families of nonsense: made-up words around the clinical vocabulary, in any order.

What the embedded judge learns from scratch must carry over to templates that it has never seen. Template
variety decides that, so half of its pairs come from families that no one wrote: every one has its own made-up
words, sentence skeletons and synonyms, and is thrown away after a few reports.
"""

import random
from collections.abc import Iterator, Mapping

from reeval.pairs import Pair
from reeval.synth import phrases, templates
from reeval.synth.sentences import pick

_ONSETS = (*"bcdfghjklmnprstvwxyz", "qu", "ch", "sh", "th", "st", "tr", "pr", "pl", "gr", "sp", "str")
_VOWELS = (*"aeiou", "ea", "ai", "ou", "io", "ie")
_ENDS = (*"nrsltmdcx", "ng", "st", "nt", "nd", "rm", "ct", "al", "er", "ion", "ed", "ing", *[""] * 12)
_JOINS = ("", "", "", "", ",", ",", ":", " -")
_SLOTS: Mapping[str, tuple[str, ...]] = {
    "pleural": ("degree", "side", "finding"),
    "lung": ("degree", "side", "zone", "finding"),
    "global": ("degree", "finding"),
    "benign": ("side", "finding"),
    "nodule": ("size", "side", "zone", "finding"),
    "count": ("number", "side", "finding"),
    "device": ("device", "position"),
    "comparison": ("finding", "change"),
    "diagnosis": ("certainty", "diagnosis"),
    "recommendation": ("action", "when"),
    "negative": ("finding",),
    "normal": (),
    "technique": (),
}
_REFERENCES = 8  # reports written by a family


def word(rng: random.Random) -> str:
    """A made-up word of one to three syllables."""
    syllables = 1 + int(rng.random() * 2.6)
    return "".join(pick(rng, _ONSETS) + pick(rng, _VOWELS) + pick(rng, _ENDS) for _ in range(syllables))


def family(rng: random.Random, known: tuple[str, ...]) -> phrases.Family:
    """A new family; `known` are words that it may use beside made-up ones."""

    def filler() -> str:
        return pick(rng, known) if rng.random() < 0.5 else word(rng)

    banks = {f"w{i}": tuple({filler() for _ in range(4)} | {"thus"}) for i in range(5)}
    banks = {name: tuple(sorted(words)) for name, words in banks.items()}
    made = {}
    for kind, slots in _SLOTS.items():
        texts: set[str] = set()
        while len(texts) < 3:
            parts = [f"{{{name}}}" for name in slots]
            rng.shuffle(parts)
            for _ in range(int(rng.random() * 6) + (0 if slots else 3)):
                piece = f"{{w{int(rng.random() * 5)}}}" if rng.random() < 0.25 else filler()
                if piece not in parts:
                    parts.insert(int(rng.random() * (len(parts) + 1)), piece)
            if kind == "negative":
                parts.insert(parts.index("{finding}"), pick(rng, ("no", "no", "without", "not")))
            texts.add("".join(p + pick(rng, _JOINS) + " " for p in parts[:-1]) + parts[-1] + ".")
        made[kind] = tuple(phrases.template(kind, text, banks) for text in sorted(texts))
    return phrases.Family("scrambled", made, banks)


def pairs(count: int, seed: int, *, start: int = 0, recipe: templates.Recipe = templates.DEFAULT) -> Iterator[Pair]:
    """Like templates.pairs, each few references from another scrambled family with words of family a."""
    known = _known_words()
    book, book_number = phrases.family("a"), -1
    last: tuple[int, tuple[Pair, ...]] = (-1, ())
    for number in range(start, start + count):
        index = number // templates.PER_REFERENCE
        if book_number != index // _REFERENCES:
            book_number = index // _REFERENCES
            book = family(random.Random(f"scrambled{seed}-{book_number}"), known)
        if last[0] != index:
            last = (index, templates.pairs_of_reference(book, seed, index, recipe))
        yield last[1][number % templates.PER_REFERENCE]


def _known_words() -> tuple[str, ...]:
    book = phrases.family("a")
    texts = [t.text for kind in book.templates.values() for t in kind[:40]]
    words = {w for text in texts for w in text.replace(",", " ").replace(".", " ").split() if "{" not in w}
    return tuple(sorted(w for w in words | {w for bank in book.words.values() for w in bank} if w.islower()))
