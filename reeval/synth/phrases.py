"""The phrase books: `lexicon.toml` and one `family_*.toml` each, compiled to look-up tables.

Text is data; this module only expands the grammar of a family into plain templates and works out, for every
word of a slot, which other words may replace it harmlessly and which may not.
"""

import dataclasses
import functools
import itertools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

FAMILIES = ("a", "b", "c")
SEVERITIES = ("significant", "insignificant")

# Replacements of one word: (significant ones, insignificant ones).
Swaps = tuple[tuple[str, ...], tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One sentence skeleton. `clinical` are the slots of the lexicon, `words` those of the family's synonyms;
    `droppable` are the clinical slots that stand as an adjective: the sentence reads on without them."""

    kind: str
    text: str
    clinical: tuple[str, ...]
    words: tuple[str, ...]
    droppable: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """A clinical slot: its words, the level and replacements of each, and what it means to lose one."""

    aspect: str
    words: tuple[str, ...]
    level: Mapping[str, int]
    swaps: Mapping[str, Swaps]
    dropped: Mapping[int, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sentence: the aspect of the whole coming or going, and of its finding's name changing."""

    sentence: str
    finding: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Lexicon:
    """The vocabulary shared by all families. `slots` has one entry a slot; `positions` one a device."""

    slots: Mapping[str, Slot]
    positions: Mapping[str, Slot]
    kinds: Mapping[str, Kind]
    findings: Mapping[str, tuple[str, ...]]
    weight: Mapping[str, str]
    finding_swaps: Mapping[str, Swaps]


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One school of writing: templates by kind of sentence, and banks of synonyms."""

    name: str
    templates: Mapping[str, tuple[Template, ...]]
    words: Mapping[str, tuple[str, ...]]


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("reeval.synth").joinpath(name).read_text(encoding="utf-8"))


def _slot(aspect: str, levels: Mapping[str, list[str]], near: int, far: int, dropped: dict[str, str]) -> Slot:
    level = {word: int(number) for number, words in levels.items() for word in words}
    swaps = {
        word: (
            tuple(other for other in level if other != word and abs(level[other] - level[word]) >= far),
            tuple(other for other in level if other != word and abs(level[other] - level[word]) <= near),
        )
        for word in level
    }
    return Slot(aspect, tuple(level), level, swaps, {int(number): word for number, word in dropped.items()})


def _sizes() -> Slot:
    """Nodule sizes in mm. Below 6 mm more than 2 mm matters, from 6 mm on more than 4 mm; we keep a margin to
    both limits, and an insignificant change never crosses 6 mm."""
    sizes = range(3, 25)
    swaps = {}
    for a in sizes:
        far = [b for b in sizes if abs(a - b) >= (4 if a < 6 else 7)]
        near = [b for b in sizes if 0 < abs(a - b) <= (1 if a < 6 else 2) and (a < 6) == (b < 6)]
        swaps[f"{a} mm"] = tuple(f"{b} mm" for b in far), tuple(f"{b} mm" for b in near)
    return Slot("measurement", tuple(swaps), {word: 0 for word in swaps}, swaps, {})


@functools.cache
def lexicon() -> Lexicon:
    data = _toml("lexicon.toml")
    slots = {"size": _sizes()}
    for name, entry in data["slots"].items():
        if "swapped" in entry:  # its severity hangs on the finding, see edits.swap
            near, far = 0, 0
        else:
            near, far = entry["near"], entry["far"]
        slots[name] = _slot(entry["aspect"], entry["levels"], near, far, entry.get("dropped", {}))
    findings = {kind: tuple(entries) for kind, entries in data["findings"].items()}
    entries = {name: entry for group in data["findings"].values() for name, entry in group.items()}
    return Lexicon(
        slots=slots,
        positions={device: _slot("device", levels, 0, 2, {}) for device, levels in data["devices"].items()},
        kinds={name: Kind(**entry) for name, entry in data["kinds"].items()},
        findings=findings,
        weight={name: entry["weight"] for name, entry in entries.items()},
        finding_swaps={n: (tuple(e.get("wrong", ())), tuple(e.get("same", ()))) for n, e in entries.items()},
    )


def vocabulary() -> tuple[str, ...]:
    """The clinical words and phrases that all families share."""
    book = lexicon()
    slots = [word for slot in (*book.slots.values(), *book.positions.values()) for word in slot.words]
    names = [word for wrong, same in book.finding_swaps.values() for word in (*wrong, *same)]
    return tuple(dict.fromkeys((*slots, *book.positions, *book.finding_swaps, *names)))


@functools.cache
def family(name: str) -> Family:
    """The compiled phrase book of a family; ValueError for an unknown one."""
    if name not in FAMILIES:
        raise ValueError(f"template family {name!r} is not one of {', '.join(FAMILIES)}")
    data = _toml(f"family_{name}.toml")
    rules, banks = data.get("rules", {}), data["words"]
    templates = {
        kind: tuple(template(kind, text, banks) for pattern in patterns for text in expand(pattern, rules))
        for kind, patterns in data["kinds"].items()
    }
    return Family(name, templates, {name: tuple(words) for name, words in banks.items()})


def expand(pattern: str, rules: Mapping[str, list[str]]) -> list[str]:
    """All texts of a pattern, `<rule>` and `(x|y)` written out."""
    choices = []
    for piece in re.split(r"(<\w+>|\([^()]*\|[^()]*\))", pattern):
        if piece.startswith("<"):
            choices.append([text for rule in rules[piece[1:-1]] for text in expand(rule, rules)])
        elif piece.startswith("(") and "|" in piece:
            choices.append(piece[1:-1].split("|"))
        else:
            choices.append([piece])
    return ["".join(texts) for texts in itertools.product(*choices)]


def template(kind: str, text: str, banks: Mapping[str, Any]) -> Template:
    """Compile the text of a template; names that are no bank are clinical slots."""
    names = re.findall(r"\{(\w+)\}", text)
    adjectives = re.findall(r"(?<= )\{(\w+)\}(?= \{(?:degree|side|finding|diagnosis)\})", text)
    return Template(
        kind=kind,
        text=text,
        clinical=tuple(name for name in names if name not in banks),
        words=tuple(dict.fromkeys(name for name in names if name in banks)),
        droppable=frozenset(adjectives) & {"degree", "side", "certainty"},
    )
