"""Sizes and distances: another number, another unit, a number lost, or one that the report does not give."""

import dataclasses
import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Edit, dropped_sentence
from reeval.synth.injectors.rewording import appended, inserted, removed, swapped
from reeval.synth.injectors.things import ACT, BENIGN, Thing, made, opening, said, things
from reeval.synth.mentions import PRESENT, Mention

_MEASURE = re.compile(
    r"(?<![\w.])(?P<one>\d+(?:\.\d+)?)(?:\s?(?:[cm]m)?\s?(?:x|by)\s?(?P<two>\d+(?:\.\d+)?))?"
    r"\s?-?(?P<unit>mm|cm|millimeters?|centimeters?)\b"
)
_ABOUT = re.compile(r"(?:\b(?:approximately|approximate|about|roughly|up to|only|at least|nearly)\s+)+$")
_INTO = re.compile(
    r"(?:,?\s+(?:(?:which|that|and)\s+)?(?:now\s+|currently\s+)?(?:measuring|measures?)|\s+of)\s+"
    r"(?:(?:up to|approximately|about|roughly|now)\s+)*$"
)
_EXTRA = re.compile(r"\s+in (?:(?:greatest|maximal|maximum|largest) )?(?:diameter|size|dimension|thickness)")
_GOES_ON = re.compile(r"\s*(?:[.,;]|$|\s(?:is|are|has|in|at|within|with|which|unchanged|stable|noted|seen)\b)")
_SENTENCE = re.compile(
    r"(?:this|it|the (?:nodule|mass|lesion|opacity|granuloma)) (?:currently )?(?:measures|is) "
    r"(?:approximately |about )?[\d. xby]+\s?-?(?:mm|cm)(?: in (?:greatest |maximum )?(?:diameter|size|dimension))?\.?"
)
_CARINA = re.compile(
    r"(?:approximately |about )?(?P<one>\d+(?:\.\d+)?)\s?(?P<unit>cm)"
    r" (?:above|from|proximal to|cephalad to|superior to) the (?:level of the )?carina"
)
_AMBIGUOUS = re.compile(r"\b(?:largest|each|previously|formerly|dominant|from \d|respectively|between \d)\b")


def _data() -> dict[str, Any]:
    return toml.table("injectors/measurement.toml")


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """A measure in the text: text[start:end], its numbers as written, and the longest of them in mm."""

    start: int
    end: int
    numbers: tuple[str, ...]
    unit: str
    mention: Mention | None

    @property
    def mm(self) -> float:
        return max(map(float, self.numbers)) * (10 if self.unit.startswith("c") else 1)


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All safe edits of a report's measurements."""
    for thing in things(analysis):
        if not thing.safe:
            continue
        if thing.device:
            yield from _tip(analysis, thing, rng)
            continue
        if not any(m.finding.measured for m in thing.mentions) and not thing.topics & set(_data()["measurable"]):
            continue
        sizes = _sizes(analysis, thing)
        if sizes is None:
            continue
        if sizes:
            yield from _given(analysis, thing, sizes, rng)
        else:
            yield from _not_given(analysis, thing, rng)


def _sizes(analysis: Analysis, thing: Thing) -> list[Size] | None:
    """All measures of a thing; None where they differ, or where one in its sentences may be another's."""
    document = analysis.document
    own = {slot.start: mention for mention, slot in thing.slots("size")}
    found: list[Size] = []
    for index in thing.sentences:
        sentence = analysis.sentence(index)
        for match in _MEASURE.finditer(document.lower, sentence.start, sentence.end):
            mention = own.get(match.start()) or _beside(analysis, thing, match.end())
            if mention is None and index in {m.sentence for m in thing.mentions}:
                return None
            numbers = tuple(n for n in (match["one"], match["two"]) if n)
            found.append(Size(match.start(), match.end(), numbers, match["unit"], mention))
    if found and (len({round(size.mm, 2) for size in found}) > 1 or said(analysis, thing, _AMBIGUOUS)):
        return None
    if len({size.numbers for size in found if len(size.numbers) > 1}) > 1:
        return None
    return found


def _beside(analysis: Analysis, thing: Thing, end: int) -> Mention | None:
    """The mention that a measure stands right before: "a 2 cm diameter nodule"."""
    lower = analysis.document.lower
    for mention in thing.mentions:
        if mention.low >= end and re.fullmatch(r"\s(?:in )?diameter\s", lower[end : mention.low]):
            return mention
    return None


def _given(analysis: Analysis, thing: Thing, sizes: list[Size], rng: random.Random) -> Iterator[Edit]:
    mm = sizes[0].mm
    concepts = {m.finding.concept for m in thing.mentions}
    lump = thing.weight == ACT and bool(concepts & set(_data()["lumps"]))
    if any(m.plural for m in thing.mentions):
        return
    flat = len({len(size.numbers) for size in sizes}) == 1
    if lump and flat:
        if mm < 30:
            yield from _renumbered(analysis, "measurement.inaccuracy.nodule", thing, sizes, _far(mm, rng))
        if mm >= 33 or 20 <= mm <= 28:
            new = rng.choice([mm * 0.5, mm * 1.5] if mm >= 36 else [mm * 1.8])
            yield from _renumbered(analysis, "measurement.inaccuracy.mass", thing, sizes, new)
    if flat and (lump or concepts & set(_data()["measurable"]) or thing.weight == BENIGN):
        near = _near(mm, rng)
        if near is not None:
            yield from _renumbered(analysis, "measurement.inaccuracy.within-limits", thing, sizes, near)
    yield from _other_unit(analysis, thing, sizes)
    rule = None
    if lump and mm >= 6:
        rule = "measurement.omission.follow-up"
    elif (lump and mm <= 5) or (thing.weight == BENIGN and concepts <= {"granuloma", "nodule", "opacity"} and mm < 30):
        rule = "measurement.omission.no-action"
    if rule:
        yield from _lost(analysis, rule, thing, sizes)


def _far(mm: float, rng: random.Random) -> float | None:
    """A size (mm) further away than the limit, by a margin, and on the nodule's side of 3 cm."""
    if mm <= 5:
        return mm + rng.choice([5, 6, 8])
    if mm < 6:
        return None
    options = [new for new in (mm * 0.45, mm + 7, mm + 9, mm * 1.9) if abs(new - mm) >= 6 and 3 <= new <= 27]
    return rng.choice(options) if options else None


def _near(mm: float, rng: random.Random) -> float | None:
    """A size (mm) within the limits that crosses no threshold."""
    if mm <= 5:
        return mm + 1 if mm <= 3 or (mm == 4 and rng.random() < 0.5) else mm - 1
    if 6 <= mm <= 8:
        return {6.0: 7.0, 7.0: rng.choice([6.0, 8.0]), 8.0: 7.0}.get(float(mm))
    if 9 <= mm <= 17 or 20.5 <= mm <= 27 or mm == 18:
        return mm + 1 if mm in (9, 21) else mm + rng.choice([-1, 1])
    return mm * rng.choice([0.95, 1.05]) if mm >= 34 else None


def _written(size: Size, mm: float) -> tuple[str, ...] | None:
    """The numbers of a measure for another size, as finely written as they were, or in tenths where it needs them."""
    factor = mm / size.mm
    found = []
    for number in size.numbers:
        value = float(number) * factor
        fine = len(number.partition(".")[2])
        if size.unit.startswith("c") and fine == 0:
            fine = 1
        text = f"{value:.{fine}f}"
        if "." in text and "." not in number:
            text = text.removesuffix(".0")
        if text == number or float(text) == float(number):
            return None
        found.append(text)
    return tuple(found)


def _renumbered(analysis: Analysis, rule: str, thing: Thing, sizes: list[Size], mm: float | None) -> Iterator[Edit]:
    if mm is None:
        return
    document = analysis.document
    changes: list[Change] = []
    for size in sizes:
        numbers = _written(size, mm)
        if numbers is None:
            return
        old = document.text[size.start : size.end]
        at = 0
        new = ""
        for before, after in zip(size.numbers, numbers, strict=True):
            found = old.index(before, at)
            new += old[at:found] + after
            at = found + len(before)
        changes += swapped(document, size.start, size.end - (len(old) - at), new)
    yield from made(analysis, rule, thing, changes, _span(sizes[0]))


def _other_unit(analysis: Analysis, thing: Thing, sizes: list[Size]) -> Iterator[Edit]:
    document = analysis.document
    longest = max(max(map(float, size.numbers)) for size in sizes)
    if len({size.unit[0] for size in sizes}) > 1 or (sizes[0].unit.startswith("m") and not 3 <= longest <= 15):
        return
    changes: list[Change] = []
    for size in sizes:
        old = document.text[size.start : size.end]
        words = {"m": ("centi", "c"), "c": ("milli", "m")}[size.unit[0]]
        new = re.sub(r"(?i)milli|centi", words[0], old)
        new = re.sub(r"(?i)[cm](?=m\b)", words[1], new)
        changes += swapped(document, size.start, size.end, new)
    yield from made(analysis, "measurement.inaccuracy.unit", thing, changes, _span(sizes[0]))


def _lost(analysis: Analysis, rule: str, thing: Thing, sizes: list[Size]) -> Iterator[Edit]:
    document = analysis.document
    changes: list[Change] = []
    span = None
    for size in sizes:
        sentence = document.index(size.start)
        assert sentence is not None
        if size.mention is None:
            whole = document.sentences[sentence]
            dropped = dropped_sentence(document, sentence)
            if dropped is None or not _SENTENCE.fullmatch(document.lower[whole.start : whole.end]):
                return
            changes += dropped
            if span is None:
                span = (min(c.start for c in dropped), max(c.end for c in dropped))
            continue
        mention = size.mention
        if size.start < mention.start:
            diameter = re.match(r" (?:in )?diameter\b", document.lower[size.end :])
            about = _ABOUT.search(document.lower[max(0, size.start - 30) : size.start])
            start = size.start - (len(about[0]) if about else 0)
            found = removed(document, start, size.end + (diameter.end() if diameter else 0))
            own = (start, mention.end)
        else:
            into = _INTO.search(document.lower[: size.start])
            if into is None:
                return
            extra = _EXTRA.match(document.lower[size.end :])
            end = size.end + (extra.end() if extra else 0)
            if not _GOES_ON.match(document.lower[end:]):
                return
            if into[0].startswith(",") and document.text[end : end + 1] == ",":
                end += 1
            found = [Change(into.start(), end, "")]
            own = (mention.start, end)
        changes += found
        span = own if span is None else span
    assert span
    yield from made(analysis, rule, thing, changes, span)


def _not_given(analysis: Analysis, thing: Thing, rng: random.Random) -> Iterator[Edit]:
    document = analysis.document
    first = next((m for m in thing.mentions if m.finding.measured and not m.reading), None)
    if first is None or first.polarity != PRESENT or any(m.plural for m in thing.mentions) or len(thing.instances) > 1:
        return
    if said(analysis, thing, re.compile(_data()["sized"])) or document.lower[first.end :].lstrip()[:3] in (
        "or ",
        "and",
    ):
        return
    degree = thing.values("degree")
    name = document.lower[first.start : first.end]
    rules: list[tuple[str, str]] = []
    if thing.weight == ACT and first.finding.name == "nodule" and degree <= {"small"}:
        rules.append(
            ("measurement.fabrication.threshold", rng.choice(_data()["above" if not degree else "above_small"]))
        )
    if thing.weight == ACT and first.finding.name == "mass" and not degree & {"trace", "minimal", "small"}:
        rules.append(("measurement.fabrication.threshold", rng.choice(_data()["mass"])))
    little = degree <= {"trace", "minimal", "small"}
    granuloma = first.finding.name in ("granuloma", "calcified_nodule")
    lump = first.finding.name == "nodule" and thing.weight == ACT
    if little and (granuloma or lump) and not said(analysis, thing, re.compile(_data()["serious"])):
        rules.append(("measurement.fabrication.below", rng.choice(_data()["below"])))
    sentence = analysis.sentence(first.sentence)
    for rule, size in rules:
        end = document.lower[first.high : first.high + 2]
        at = opening(analysis, first, ("change", "certainty", "age", "degree", "count"))
        if re.match(r"[.;]|$", end) and (at is None or rng.random() < 0.4) and first.high > first.start:
            text = f"measuring {rng.choice(['', 'approximately ', 'up to '])}{size}"
            span = (first.start, first.high) if first.high - first.start < 60 else (first.end, first.high)
            if span[0] < span[1]:
                yield from made(analysis, rule, thing, appended(document, first.high, text), span)
        elif at is not None and not name.startswith("mass-") and not (sentence.item and at == sentence.start):
            yield from made(analysis, rule, thing, inserted(document, at, size), (at, first.end))


def _tip(analysis: Analysis, thing: Thing, rng: random.Random) -> Iterator[Edit]:
    """The distance of an airway tube's tip from the carina, which is in its place between 3 and 7 cm."""
    document = analysis.document
    if "airway" not in thing.topics:
        return
    hits = [
        match
        for sentence in (document.sentences[i] for i in thing.sentences)
        for match in _CARINA.finditer(document.lower, sentence.start, sentence.end)
    ]
    if not hits or len({hit["one"] for hit in hits}) > 1 or document.lower.count("carina") > len(hits):
        return
    first = hits[0]
    value = float(first["one"])
    if not 3 <= value <= 6.5:
        return
    new = value + (0.5 if value < 4 else rng.choice([-0.5, 0.5]))
    for rule, text in (
        ("measurement.inaccuracy.within-limits", f"{new:.1f}".removesuffix(".0") + " cm"),
        ("measurement.inaccuracy.unit", first["one"] + " mm"),
    ):
        changes = [c for hit in hits for c in swapped(document, hit.start("one"), hit.end("unit"), text)]
        yield from made(analysis, rule, thing, changes, (first.start("one"), first.end()))
    changes = [c for hit in hits for c in removed(document, hit.start(), hit.end("unit"))]
    yield from made(analysis, "measurement.omission.no-action", thing, changes, first.span())


def _span(size: Size) -> tuple[int, int]:
    mention = size.mention
    if mention is None:
        return size.start, size.end
    low, high = min(mention.start, size.start), max(mention.end, size.end)
    return (low, high) if high - low <= 70 else (size.start, size.end)
