"""The lexicon of `terms.toml`: findings, devices, and the slots of the words around them, found by whole words."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth import toml

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[a-z]+(?:[-'’][a-z]+)*")
SLOTS = ("degree", "side", "place", "change", "age", "certainty", "count")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A finding or device; see the head of `terms.toml` for the fields. A device's space is "device", its weight
    "open", and its concept its kind."""

    name: str
    space: str
    weight: str
    concept: str
    singular: tuple[str, ...]
    plural: tuple[str, ...]
    sided: bool
    measured: bool
    mass: bool
    reading: bool

    @property
    def device(self) -> bool:
        return self.space == "device"


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """One meaning of a phrase: a finding's name, or a slot's value ("side", "left")."""

    slot: str
    value: str
    plural: bool = False


def _data() -> dict[str, Any]:
    return toml.table("terms.toml")


@functools.cache
def findings() -> Mapping[str, Finding]:
    """Name -> finding, the devices among them."""
    data = _data()
    found = {}
    for name, entry in data["findings"].items():
        found[name] = Finding(
            name, entry["space"], entry["weight"], entry.get("concept", name),
            tuple(entry["singular"]), tuple(entry.get("plural", ())), entry.get("sided", False),
            entry.get("measured", False), entry.get("mass", False), entry.get("reading", False),
        )  # fmt: skip
    for name, entry in data["devices"].items():
        singular, plural = tuple(entry["singular"]), tuple(entry.get("plural", ()))
        found[name] = Finding(name, "device", "open", entry["kind"], singular, plural, True, False, False, False)
    return found


@functools.cache
def predicates() -> tuple[tuple[Finding, re.Pattern[str]], ...]:
    """Findings that a verb tells ("the heart is enlarged"), and the pattern of the clause in lower case."""
    return tuple((findings()[name], re.compile(pattern)) for name, pattern in _data()["predicates"].items())


@functools.cache
def zones() -> Mapping[str, int]:
    """Place -> its rank from the lung's top to its base, for places that have one."""
    return {name: entry["zone"] for name, entry in _data()["place"].items() if "zone" in entry}


@functools.cache
def words(slot: str) -> Mapping[str, tuple[str, ...]]:
    """Value -> phrases of one of `SLOTS`."""
    entries = _data()[slot]
    return {value: tuple(entry["words"] if isinstance(entry, dict) else entry) for value, entry in entries.items()}


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """All phrases of the lexicon, in lower case."""
    names = [phrase for finding in findings().values() for phrase in (*finding.singular, *finding.plural)]
    said = [phrase for slot in SLOTS for phrases in words(slot).values() for phrase in phrases]
    return tuple(dict.fromkeys([*names, *said, *_data()["plain"]["words"]]))


@functools.cache
def _phrases() -> Mapping[str, tuple[tuple[tuple[str, ...], tuple[Word, ...]], ...]]:
    meanings: dict[tuple[str, ...], list[Word]] = {}

    def add(phrase: str, word: Word) -> None:
        meanings.setdefault(tuple(_TOKEN.findall(phrase)), []).append(word)

    for finding in findings().values():
        for phrase in finding.singular:
            add(phrase, Word("finding", finding.name))
        for phrase in finding.plural:
            add(phrase, Word("finding", finding.name, True))
    for slot in SLOTS:
        for value, phrases in words(slot).items():
            for phrase in phrases:
                add(phrase, Word(slot, value))
    for phrase in _data()["plain"]["words"]:
        add(phrase, Word("plain", ""))
    by_first: dict[str, list[tuple[tuple[str, ...], tuple[Word, ...]]]] = {}
    for tokens, found in meanings.items():
        by_first.setdefault(tokens[0], []).append((tokens, tuple(found)))
    return {first: tuple(sorted(group, key=lambda g: -len(g[0]))) for first, group in by_first.items()}


def find(lower: str, start: int, end: int) -> Iterator[tuple[int, int, tuple[Word, ...]]]:
    """The phrases of lower[start:end], the longest at each place and without overlap: (start, end, meanings)."""
    tokens = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(lower, start, end)]
    at = 0
    while at < len(tokens):
        step = 1
        for phrase, found in _phrases().get(tokens[at][0], ()):
            last = at + len(phrase)
            if last <= len(tokens) and all(tokens[at + i][0] == word for i, word in enumerate(phrase)):
                low, high = tokens[at][1], tokens[last - 1][2]
                # Words of one phrase are parted by single spaces, a line break or a hyphen, and by no comma.
                if all(
                    lower[tokens[at + i][2] : tokens[at + i + 1][1]].strip(" \n-") == "" for i in range(len(phrase) - 1)
                ):
                    yield low, high, found
                    step = len(phrase)
                    break
        at += step


@functools.cache
def concepts(words: str) -> frozenset[str]:
    """The concepts that a few words name, as the tables of the injectors hold them; in any case of letters."""
    found = find(words.lower(), 0, len(words))
    return frozenset(findings()[meanings[0].value].concept for _, _, meanings in found if meanings[0].slot == "finding")
