"""How many: a number exchanged, lost, or given to a noun that has none, with the noun and its verb in agreement."""

import dataclasses
import functools
import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis
from reeval.synth.document import Document
from reeval.synth.edit import Change, Edit
from reeval.synth.english import capital, indefinite
from reeval.synth.injectors.agreement import plural as as_plural
from reeval.synth.injectors.agreement import singular as as_singular
from reeval.synth.injectors.rewording import inserted, removed, swapped
from reeval.synth.injectors.things import ACT, BENIGN, Thing, made, opening, said, span_of, things
from reeval.synth.mentions import PRESENT, Mention, Slot


def _data() -> dict[str, Any]:
    return toml.table("injectors/count.toml")


@functools.cache
def _telling(lump: bool) -> re.Pattern[str]:
    """Words that tell a number. An ordinal counts the ribs that are broken, and only places a nodule."""
    return re.compile(_data()["telling"] if lump else f"{_data()['telling']}|{_data()['ordinals']}")


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All safe edits of a report's numbers of findings and devices."""
    for thing in things(analysis):
        concepts = {m.finding.concept for m in thing.mentions}
        if not thing.safe or said(analysis, thing, _telling(thing.weight == ACT and "fracture" not in concepts)):
            continue
        if len(concepts) > 1:
            # What a nodule is read as has no number of its own.
            mentions = tuple(m for m in thing.mentions if m.finding.concept not in _data()["readings"])
            if len({m.finding.concept for m in mentions}) != 1:
                continue
            thing = dataclasses.replace(thing, mentions=mentions)
        counts = thing.slots("count")
        if any(s.end > m.start for m, s in counts) or len({s.start for _, s in counts}) < len(counts):
            continue
        kind = _kind(thing)
        if kind is None or len({m.sentence for m in thing.mentions}) < len(thing.mentions):
            continue
        if counts:
            yield from _given(analysis, thing, counts, kind, rng)
        else:
            yield from _not_given(analysis, thing, kind, rng)


def _kind(thing: Thing) -> str | None:
    """ "counted" where one more or less of them matters, "any" where it does not; None where the rules do not say."""
    finding = thing.head.finding
    if thing.device:
        return "any" if finding.name in _data()["inert"] else "counted" if finding.name in _data()["tubes"] else None
    if thing.weight == ACT and finding.concept in _data()["counted"]:
        return "counted" if finding.name in _data()["count_nouns"] else None
    return "any" if thing.weight == BENIGN and finding.concept in _data()["any"] else None


def _given(
    analysis: Analysis, thing: Thing, counts: list[tuple[Mention, Slot]], kind: str, rng: random.Random
) -> Iterator[Edit]:
    document = analysis.document
    values = {slot.value for _, slot in counts}
    if len(values) > 1:
        return
    value = next(iter(values))
    first, slot = counts[0]
    span = span_of(first, slot)
    words = [document.lower[s.start : s.end] for _, s in counts]
    if any(word in _data()["vague"] for word in words) or any("change" in _name(document, m) for m in thing.mentions):
        return
    several = [w for w in _data()["several"].get(value, []) if w not in words]
    exact = kind == "any" or value != "several"
    if value != "one" and several and exact and all(m.plural for m, _ in counts):
        new = rng.choice(several)
        changes = [c for _, s in counts for c in swapped(document, s.start, s.end, new)]
        yield from made(analysis, "count.inaccuracy.several", thing, changes, span)
    if kind == "any" and value != "one" and all(m.plural for m in thing.mentions):
        changes = [c for _, s in counts for c in removed(document, s.start, s.end)]
        yield from made(analysis, "count.omission.plural", thing, changes, span)
    if kind != "counted":
        return
    others = [m for m in thing.mentions if not m.slot("count")]
    if value == "one":
        new = rng.choice(_data()["many"])
        found = _each(analysis, thing.mentions, False)
        if found is not None:
            changes = found + [c for _, s in counts for c in swapped(document, s.start, s.end, new)]
            yield from made(analysis, "count.inaccuracy.one-or-several", thing, changes, span)
        return
    if not all(m.plural for m in thing.mentions) or any(_in_clause(analysis, m) for m in others):
        return
    found = _each(analysis, thing.mentions, True)
    if found is None:
        return
    new = rng.choice(_data()["single"])
    single = [c for _, s in counts for c in _determined(document, s, new)]
    yield from made(analysis, "count.inaccuracy.one-or-several", thing, found + single, span)
    plain = [c for mention, s in counts for c in _indefinite(analysis, mention, s)]
    yield from made(analysis, "count.omission.lost", thing, found + plain, span)


def _not_given(analysis: Analysis, thing: Thing, kind: str, rng: random.Random) -> Iterator[Edit]:
    document = analysis.document
    if any(m.polarity != PRESENT or m.reading for m in thing.mentions):
        return
    plural = {m.plural for m in thing.mentions}
    first = thing.head
    if plural == {True}:
        if kind == "any" and thing.values("side") != {"both"}:
            at = opening(analysis, first, ("change",))
            if at is not None and not _after_article(document, first.low):
                new = rng.choice(_data()["exact"])
                yield from made(
                    analysis, "count.fabrication.exact", thing, inserted(document, at, new), (at, first.end)
                )
        elif kind == "counted" and not thing.values("side") & {"both"}:
            found = _each(analysis, thing.mentions, True)
            places = [opening(analysis, m, ("change",)) for m in thing.mentions]
            if found is None or any(
                at is None or _after_article(document, m.low) for at, m in zip(places, thing.mentions, strict=True)
            ):
                return
            new = rng.choice(["single", "solitary"])
            changes = list(found)
            for at, mention in zip(places, thing.mentions, strict=True):
                assert at is not None
                changes += inserted(document, at, f"a {new}" if _in_clause(analysis, mention) else new)
            at = places[0]
            assert at is not None
            yield from made(analysis, "count.fabrication.follow-up", thing, changes, (at, first.end))
        return
    if plural == {False} and kind == "counted":
        if any(s.end > m.start for m, s in thing.slots("size")):
            return
        found = _each(analysis, thing.mentions, False)
        places = [opening(analysis, m, ("change",)) for m in thing.mentions]
        if found is None or any(at is None for at in places):
            return
        new = rng.choice(_data()["many"])
        changes = list(found)
        for at, mention in zip(places, thing.mentions, strict=True):
            assert at is not None
            if mention.low == at:
                # An article that goes leaves its place to the number.
                gone = next((c for c in found if c.end >= at > c.start or (c.end == at and c.new == "")), None)
                if gone is not None:
                    changes.remove(gone)
                    changes.append(_numbered(document, gone, at, new))
                    continue
            changes += inserted(document, at, new)
        at = places[0]
        assert at is not None
        low = min([c.start for c in changes if c.end >= at and c.start <= at] or [at])
        yield from made(analysis, "count.fabrication.follow-up", thing, changes, (low, first.end))


def _numbered(document: Document, gone: Change, at: int, new: str) -> Change:
    """A number in the place of the article that `gone` takes out."""
    word = document.cased(capital(new) if document.begins(gone.start) else new)
    kept = document.text[at : gone.end] if gone.end > at else ""
    return Change(gone.start, gone.end, f"{word} {kept}")


def _name(document: Document, mention: Mention) -> str:
    return document.lower[mention.start : mention.end]


def _each(analysis: Analysis, mentions: tuple[Mention, ...], to_singular: bool) -> list[Change] | None:
    """Every mention's noun and verb brought into the other number; those that are in it already stay."""
    changes: list[Change] = []
    for mention in mentions:
        if mention.plural != to_singular:
            return None
        found = as_singular(analysis, mention, with_a=False) if to_singular else as_plural(analysis, mention)
        if found is None:
            return None
        changes += found
    return changes


def _in_clause(analysis: Analysis, mention: Mention) -> bool:
    """Whether a noun without a number would need an article here: a sentence with a verb, no terse fragment."""
    sentence = analysis.sentence(mention.sentence)
    lower = analysis.document.lower
    return re.search(
        r"\b(?:there (?:is|are)|shows?|demonstrates?|reveals?|has|have)\b", lower[sentence.start : mention.low]
    ) is not None or (re.search(r"\b(?:is|are|was|were)\b", lower[mention.end : sentence.end]) is not None)


def _determined(document: Document, slot: Slot, new: str) -> list[Change]:
    """A number word replaced by "a single" or "one"; an article before it ("the two") stands in the way of "a"."""
    if new.startswith("a ") and _after_article(document, slot.start):
        new = new[2:]
    return swapped(document, slot.start, slot.end, new)


def _indefinite(analysis: Analysis, mention: Mention, slot: Slot) -> list[Change]:
    """A number word replaced by an article, or taken out of a fragment that needs none."""
    document = analysis.document
    if not _in_clause(analysis, mention) or _after_article(document, slot.start):
        return removed(document, slot.start, slot.end)
    return swapped(document, slot.start, slot.end, indefinite(document.lower[slot.end :].lstrip()))


def _after_article(document: Document, at: int) -> bool:
    return re.search(r"\b(?:an?|the|these|those)\s+$", document.lower[max(0, at - 8) : at]) is not None
