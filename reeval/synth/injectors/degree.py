"""How much: a word of degree exchanged for another, taken out, or put before a finding that has none."""

import functools
import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis, Instance
from reeval.synth.edit import Change, Edit
from reeval.synth.injectors.rewording import inserted, removed, swapped
from reeval.synth.injectors.things import BENIGN, Thing, compared, made, not_acute, opening, said, span_of, things
from reeval.synth.mentions import PRESENT, Mention, Slot

# A second word of size that would contradict the new one, or a number that does.
_SIZED = re.compile(
    r"\b(?:subcentimeter|subtle|thin|amount|degree|\d+(?:\.\d+)?\s?-?(?:mm|cm|%)|percent|half|third|entire|whole|nearly|vague"
    r"|low normal|upper limits|borderline|size|dense|dens\w+ calcified|heav(?:y|ily)|exuberant|bulky|bridging)\b"
)
_ADJECTIVE = re.compile(
    r"(?:enlarged|enlargement of|widening|tortuosity of|tortuous|calcified a|ectatic|low |hypo|elevated|exagg|blunt"
    r"|unfold|atherosclerotic aorta|shallow|poor|osteophyte|spurring)"
)
_LARGE = ("large", "moderate_to_large")
_ADVERBS = {"small": "mildly", "large": "markedly", "tiny": "minimally", "trace": "minimally"}
_JOINED_AFTER = re.compile(r"\s*(?:-|to\b|or\b|and\b|,\s*\w+ed\b|amount|degree|in size)")
_JOINED_BEFORE = re.compile(
    r"(?:\b(?:to|or|very|relatively|fairly|somewhat|rather|at least|more|less|most|only|no|too)|-)\s*$"
)


def _data() -> dict[str, Any]:
    return toml.table("injectors/degree.toml")


@functools.cache
def _scale(concept: str) -> dict[str, Any] | None:
    return next((scale for scale in _data()["scale"] if concept in scale["concepts"]), None)


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All safe edits of a report's degrees."""
    for thing in things(analysis):
        if not thing.safe or compared(analysis, thing):
            continue
        degrees = thing.slots("degree")
        owners = {mention.finding.concept for mention, _ in degrees}
        if len(owners) > 1 or len({slot.value for _, slot in degrees}) > 1:
            continue
        for instance in thing.instances:
            scale = _scale(instance.concept)
            if scale is None or (owners and instance.concept not in owners):
                continue
            if degrees:
                yield from _given(analysis, thing, scale, degrees, rng)
            else:
                yield from _not_given(analysis, thing, instance, scale, rng)


def _given(
    analysis: Analysis, thing: Thing, scale: dict[str, Any], degrees: list[tuple[Mention, Slot]], rng: random.Random
) -> Iterator[Edit]:
    document = analysis.document
    first, slot = degrees[0]
    if any(mention.finding.name == "blunting" for mention, _ in degrees):
        return
    if len({s.start for _, s in degrees}) < len(degrees) or len({id(m) for m, _ in degrees}) < len(degrees):
        return  # two words of degree on one finding
    if said(analysis, thing, _SIZED) or any(_shared(analysis, mention) for mention, _ in degrees):
        return
    words = [document.lower[s.start : s.end] for _, s in degrees]
    if any(word in _data()["loose"] or _attached(analysis, s) for word, (_, s) in zip(words, degrees, strict=True)):
        return
    level = slot.value
    urgent = scale["urgent"]
    for rule, targets in (
        ("degree.inaccuracy.urgency", scale["far"].get(level, []) if urgent else []),
        ("degree.inaccuracy.neighbour", [w for w in scale["near"].get(level, []) if w not in words]),
    ):
        if rule.endswith("urgency") and not _fits_urgent(analysis, thing):
            continue
        if rule.endswith("urgency") and level in _LARGE and said(analysis, thing, re.compile(_data()["large_said"])):
            continue
        if targets:
            new = rng.choice(targets)
            changes = [
                c for word, (_, s) in zip(words, degrees, strict=True)
                for c in swapped(document, s.start, s.end, _formed(word, new))
            ]  # fmt: skip
            yield from made(analysis, rule, thing, changes, span_of(first, slot))
    lost: str | None = None
    if urgent and level in _LARGE and all(w in _data()["carries_urgency"] for w in words):
        lost = "degree.omission.urgent"
    elif level in ("trace", "minimal") or (level == "small" and thing.weight == BENIGN):
        lost = "degree.omission.mild" if thing.weight == BENIGN else None
    if lost:
        changes = [c for _, s in degrees for c in removed(document, s.start, s.end)]
        yield from made(analysis, lost, thing, changes, span_of(first, slot))


def _not_given(
    analysis: Analysis, thing: Thing, instance: Instance, scale: dict[str, Any], rng: random.Random
) -> Iterator[Edit]:
    if said(analysis, thing, _SIZED) or any(m.polarity != PRESENT for m in instance.mentions):
        return
    for rule, words in (
        ("degree.fabrication.urgent", scale.get("added_urgent", [])),
        ("degree.fabrication.mild", scale.get("added_mild", []) if thing.weight == BENIGN or scale["urgent"] else []),
    ):
        if not words or (rule.endswith("urgent") and not _fits_urgent(analysis, thing)):
            continue
        if rule.endswith("mild") and scale["urgent"] and instance.concept not in _data()["mild_added"]:
            continue
        new = rng.choice(words)
        changes: list[Change] = []
        span = None
        for mention in instance.mentions:
            if mention.reading or mention.finding.reading or _shared(analysis, mention):
                return
            found = _put(analysis, mention, new)
            if found is None:
                return
            changes += found[0]
            span = span or found[1]
        assert span is not None
        yield from made(analysis, rule, thing, changes, span)


def _put(analysis: Analysis, mention: Mention, new: str) -> tuple[list[Change], tuple[int, int]] | None:
    """A word of degree before a finding's phrase, behind the words of number and change that begin it."""
    document = analysis.document
    predicate = re.search(r"\b(?:enlarged|tortuous|ectatic|low)$", document.lower[mention.start : mention.end])
    if predicate and " " in document.lower[mention.start : mention.end]:
        if re.match(r"(?:enlarged|tortuous|ectatic|low)\b", document.lower[mention.start : mention.end]):
            return None
        at = mention.start + predicate.start()
        if re.search(r"(?:\b(?:is|are|appears?|remains?))\s$", document.lower[mention.start : at]) is None:
            return None
        return inserted(document, at, _formed("ly", new)), (at, mention.end)
    front = opening(analysis, mention, ("change", "certainty", "count", "age"))
    if front is None:
        return None
    if re.search(r"\b(?:is|are|appears?|remains?)\b", document.lower[mention.start : mention.end]):
        return None
    if _ADJECTIVE.match(document.lower[mention.start : mention.end]) or mention.finding.name == "blunting":
        return None
    return inserted(document, front, new), (front, mention.end)


def _fits_urgent(analysis: Analysis, thing: Thing) -> bool:
    """Whether nothing in the report is at odds with a large or severe one. A large heart is nothing acute."""
    if thing.topics & {"heart_size"}:
        return not said(analysis, thing, re.compile(_data()["mild_said"]))
    return not said(analysis, thing, re.compile(_data()["mild_said"])) and not not_acute(analysis)


def _shared(analysis: Analysis, mention: Mention) -> bool:
    """Whether a word before it would hold for a graver finding joined to it as well: "small scar and/or effusion"."""
    lower = analysis.document.lower
    return any(
        other.low == other.start
        and other.finding.weight != "benign"
        and other.start > mention.high
        and re.fullmatch(r"\s*(?:and/or|and|or|/|,)\s*", lower[mention.high : other.low])
        for other in analysis.by_sentence[mention.sentence]
    )


def _attached(analysis: Analysis, slot: Slot) -> bool:
    """Whether a word of degree is joined to another one: "small-to-moderate", "very small", "mild or moderate"."""
    lower = analysis.document.lower
    before, after = lower[max(0, slot.start - 12) : slot.start], lower[slot.end : slot.end + 12]
    return bool(_JOINED_AFTER.match(after) or _JOINED_BEFORE.search(before))


def _formed(word: str, new: str) -> str:
    """`new` as an adverb where `word` is one: "moderately to severely"."""
    if not word.endswith("ly"):
        return new
    return " ".join(part if part == "to" else _ADVERBS.get(part, part + "ly") for part in new.split())
