"""Sentences: a template with its words, rendered, and how much it matters that the whole is there."""

import dataclasses
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from reeval.synth.phrases import Family, Slot, Template, lexicon

T = TypeVar("T")

# How often a report holds a sentence of each kind.
_KINDS = {
    "pleural": 4, "lung": 5, "global": 4, "benign": 4, "nodule": 4, "count": 3, "device": 4, "comparison": 4,
    "diagnosis": 4, "recommendation": 4, "negative": 3, "normal": 1, "technique": 1,
}  # fmt: skip
_DECK = tuple(kind for kind, weight in _KINDS.items() for _ in range(weight))
DENIABLE = ("pleural", "lung", "global", "benign")
_BLANK = 0.2  # share of adjectives that a report leaves out


@dataclasses.dataclass(slots=True, eq=False)
class Sentence:
    """A template and the text of each of its slots; a slot left out is empty."""

    template: Template
    values: Mapping[str, str]
    finding: str  # its finding by the lexicon's name, even where `values` has another; empty if it has none
    text: str

    @property
    def kind(self) -> str:
        return self.template.kind


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """A uniform choice; faster than rng.choice, and the same on every Python version."""
    return options[int(rng.random() * len(options))]


def render(template: Template, values: Mapping[str, str]) -> str:
    text = template.text.format_map(values)
    if "" in values.values():
        text = " ".join(text.split())
    return text[0].upper() + text[1:]


def slot_of(kind: str, name: str, device: str = "") -> Slot:
    """The slot's entry in the lexicon: degrees differ by kind, positions by device."""
    if name == "position":
        return lexicon().positions[device]
    if name == "degree":
        name = "size_degree" if kind == "pleural" else "force_degree"
    return lexicon().slots[name]


def span(sentence: Sentence, *names: str) -> tuple[int, int]:
    """Where the slots stand in the sentence's text, with all that stands between them."""
    marked = {**sentence.values, **{name: f"\x01{sentence.values[name]}\x02" for name in names}}
    raw = sentence.template.text.format_map(marked)
    if "" in sentence.values.values():
        raw = " ".join(raw.split())
    start, end = raw.index("\x01"), raw.rindex("\x02")
    end -= raw.count("\x01", 0, end) + raw.count("\x02", 0, end)
    return start, end


def restate(
    rng: random.Random, family: Family, template: Template, clinical: Mapping[str, str], finding: str
) -> Sentence:
    """The clinical values in this template, with synonyms drawn anew."""
    values = {name: clinical[name] for name in template.clinical}
    for name in template.words:
        values[name] = pick(rng, family.words[name])
    return Sentence(template, values, finding, render(template, values))


def write(rng: random.Random, family: Family, kind: str, finding: str = "") -> Sentence:
    """A new sentence of the kind, about the finding if one is given."""
    book = lexicon()
    template = pick(rng, family.templates[kind])
    values = {}
    for name in template.clinical:
        if name == "finding":
            finding = finding or pick(rng, book.findings[kind])
            values[name] = finding
        elif name == "device":
            values[name] = pick(rng, tuple(book.positions))
        elif name != "position":
            blank = name in template.droppable and rng.random() < _BLANK
            values[name] = "" if blank else pick(rng, slot_of(kind, name).words)
    if kind == "device":
        values["position"] = pick(rng, book.positions[values["device"]].words)
    return restate(rng, family, template, values, finding)


def _names(finding: str) -> tuple[str, ...]:
    return (finding, *lexicon().finding_swaps[finding][1]) if finding else ()


def extend(rng: random.Random, family: Family, present: Iterable[Sentence]) -> Sentence:
    """A sentence that fits a report which holds `present`: no finding, device or subject twice."""
    present = list(present)
    taken = {s.values["device"] for s in present if s.kind == "device"}
    for s in present:
        taken.update(_names(s.finding))
    texts = {s.template.text for s in present}
    while True:
        kind = pick(rng, _DECK)
        if kind == "comparison":
            compared = {s.finding for s in present if s.kind == kind}
            found = [s.finding for s in present if s.kind in DENIABLE and s.finding not in compared]
            if not found:
                continue
            return write(rng, family, kind, pick(rng, found))
        if kind == "negative":
            sentence = write(rng, family, kind, pick(rng, lexicon().findings[pick(rng, DENIABLE)]))
        else:
            sentence = write(rng, family, kind)
        if kind in ("diagnosis", "recommendation", "normal", "technique"):
            second = kind == "diagnosis" and any(s.kind == kind for s in present)
            free = sentence.template.text not in texts and not second
        else:
            free = (sentence.finding or sentence.values["device"]) not in taken
        if free:
            return sentence


def weight(sentence: Sentence) -> str | None:
    """The severity of losing or inventing the sentence; None where the rules leave it open."""
    kind, values = sentence.kind, sentence.values
    if kind in ("negative", "normal", "technique"):
        return "insignificant"
    if kind == "device":
        misplaced = slot_of(kind, "position", values["device"]).level[values["position"]]
        return "significant" if misplaced else "insignificant"
    if kind == "comparison":
        return "insignificant" if slot_of(kind, "change").level[values["change"]] == 2 else "significant"
    if kind == "recommendation":
        return "insignificant" if slot_of(kind, "action").level[values["action"]] else "significant"
    if kind == "diagnosis":
        if slot_of(kind, "diagnosis").level[values["diagnosis"]] >= 30:
            return "insignificant"
        sure = not values["certainty"] or slot_of(kind, "certainty").level[values["certainty"]] == 2
        return "significant" if sure else None
    severity = lexicon().weight[sentence.finding]
    if severity != "degree":
        return severity
    degree = values.get("degree", "")
    if degree in ("tiny", "trace", "minimal"):
        return "insignificant"
    return None if degree in ("", "small") else "significant"
