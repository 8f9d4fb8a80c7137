"""Pairs without end for a judge that starts from nothing: reports that the project writes, candidates that it makes of
them, and the same with most words exchanged for others.

Imported by worker processes, so it must not import JAX. What comes out depends on the arguments alone.
"""

import dataclasses
import functools
import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from reeval.pairs import Pair
from reeval.synth import compose, generator, terms
from reeval.synth.balance import Balance
from reeval.synth.compose import Mixture

PER_REPORT = 2
_WORD = re.compile(r"[A-Za-z]{2,}")
_MANY = 1 << 30
# Reports whose words are exchanged among each other.
_VOCABULARY_REPORTS = 1500


def written(split: str, seed: int, sentences: tuple[int, int], mixture: Mixture) -> Iterator[Pair]:
    """Pairs from reports of a split, `PER_REPORT` of each report that carries them."""
    balance, dropped = Balance(), Counter[str]()
    for report in generator.reports(split, _MANY, seed, sentences=sentences):
        rng = random.Random(report.reference_id)
        made_of = compose.material(report.text.strip(), rng)
        for number in range(1, PER_REPORT + 1):
            pair_id = f"{report.reference_id}-{number}"
            chance = compose.chance_of_significance(balance, mixture)
            made = compose.candidate(pair_id, report.reference_id, made_of, chance, rng, balance, mixture, dropped)
            if made is not None:
                yield made


def places(pair: Pair) -> list[tuple[int, int, int]]:
    """Where in a candidate its errors stand: (index of the error, start, end), start == end where words were lost."""
    found, at = [], 0
    for start, end, *made in pair.metadata["pieces"]:
        length = len(made[0]) if made else end - start
        if made and made[1].startswith("error "):
            found.append((int(made[1].split()[1]), at, at + length))
        at += length
    return found


def scrambled(pair: Pair, rng: random.Random) -> Pair:
    """The pair with every word that no lexicon knows exchanged for another of the same length, the same one wherever it
    stands: what differs still differs, and nothing else can be told from the words."""
    exchange: dict[str, str] = {}
    used: set[str] = set()

    def other(match: re.Match[str]) -> str:
        word = match[0].lower()
        if word in _kept():
            return match[0]
        if word not in exchange:
            group = _vocabulary().get(len(word), (word,))
            drawn = next((w for w in (rng.choice(group) for _ in range(8)) if w not in used), word)
            exchange[word] = drawn
            used.add(drawn)
        new = exchange[word]
        return new.upper() if match[0].isupper() else new.capitalize() if match[0][0].isupper() else new

    def of(text: str) -> str:
        return _WORD.sub(other, text)

    assert pair.errors is not None
    reference, candidate = of(pair.reference), of(pair.candidate)
    errors = tuple(
        dataclasses.replace(e, reference_span=of(e.reference_span), candidate_span=of(e.candidate_span))
        for e in pair.errors
    )
    return dataclasses.replace(pair, reference=reference, candidate=candidate, errors=errors)


@functools.cache
def _kept() -> frozenset[str]:
    """Words with a meaning of their own: those of the lexicon, of measures and of denial."""
    return frozenset(word for phrase in terms.vocabulary() for word in _WORD.findall(phrase)) | {
        "no",
        "not",
        "mm",
        "cm",
    }


@functools.cache
def _vocabulary() -> Mapping[int, tuple[str, ...]]:
    """The other words of the reports, by length."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for report in itertools.islice(generator.reports("pretrain", _VOCABULARY_REPORTS, 0), _VOCABULARY_REPORTS):
        for word in _WORD.findall(report.text.lower()):
            if word not in _kept():
                found[len(word)].add(word)
    return {length: tuple(sorted(words)) for length, words in found.items()}
