"""Sites: another lobe, zone, space, level or rib; a site lost, or one that the report does not give."""

import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import terms, toml
from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Edit
from reeval.synth.injectors.rewording import appended, inserted, near_placeholder, removed, swapped
from reeval.synth.injectors.things import ACT, BENIGN, OPEN, Thing, claimed, made, not_acute, said, span_of, things
from reeval.synth.mentions import ABSENT, PRESENT, Mention, Slot

_ZONE = re.compile(
    r"\b(?:(?:upper|lower|middle) lobes?|(?:upper|lower|mid)[ -]?(?:lung|zone)\w*|lingula\w*|middle lobe|bases?|basilar"
    r"|bibasilar|apex|apices|apical|biapical|costophrenic|retrocardiac|hemidiaphragm|diaphragm|heart border|hil\w+"
    r"|perihilar|segment\w*|inferior|superior|interspace\w*|ribs?|fissure)\b"
)
_NARROW = re.compile(
    r"\b(?:segments?|costophrenic|heart border|cardiac border|fissure|interspace\w*|ribs?|clavicle|behind|level"
    r"|obscur\w+)\b"
)
# Of the sites above, those that can only be a lung's.
_OF_LUNG = re.compile(r"lobe|lung|lingul|apical|basilar")
_RIB = re.compile(r"\s+(?:\w+\s+){0,2}ribs?\b")
# Several ribs, or an ordinal that counts something else.
_RANGE = re.compile(r"\b(?:rib [#\d]|\w+ (?:through|and|to|-) \w+ (?:\w+ )?ribs?|interspace|image|view)")
_TWO_SIDES = re.compile(r"\b(?:left|right) (?:and|or) (?:left|right)\b|\bbilateral\w*|\bboth\b")
_PREPOSITION = re.compile(
    r"\s*\b(?:in|within|at|of|involving|throughout|along|near|overlying|over)\s+(?:the\s+|both\s+(?:the\s+)?)?$"
)


def _data() -> dict[str, Any]:
    return toml.table("injectors/location.toml")


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All safe edits of a report's sites."""
    for thing in things(analysis):
        if not thing.safe or thing.device:
            continue
        places = _places(thing)
        if any(near_placeholder(analysis.document, s.start, s.end) for _, s in places):
            continue
        if places:
            yield from _swaps(analysis, thing, places, rng)
            yield from _losses(analysis, thing, places)
        yield from _additions(analysis, thing, places, rng)
        yield from _ribs(analysis, thing, rng)


def _places(thing: Thing) -> list[tuple[Mention, Slot]]:
    """Words of site, each once; the general "lung" is none."""
    found: dict[int, tuple[Mention, Slot]] = {}
    for mention, slot in thing.slots("place"):
        if slot.value not in ("lung", "rib"):
            found.setdefault(slot.start, (mention, slot))
    return list(found.values())


def _swaps(analysis: Analysis, thing: Thing, places: list[tuple[Mention, Slot]], rng: random.Random) -> Iterator[Edit]:
    document = analysis.document
    words = [document.lower[s.start : s.end] for _, s in places]
    concepts = {m.finding.concept for m in thing.mentions}
    spine = concepts <= set(_data()["spine"])
    if spine:
        targets = [_data()["levels"].get(word) for word in words]
        if (
            all(targets)
            and len({s.value for _, s in places}) == 1
            and not said(analysis, thing, re.compile(r"\b[tl]\d|level"))
        ):
            number = rng.randrange(min(len(t) for t in targets if t))
            yield from _swapped(
                analysis, "location.inaccuracy.adjacent", thing, places, [t[number] for t in targets if t]
            )
        return
    if _loose_zone(analysis, thing) or said(analysis, thing, _NARROW):
        return
    sides = thing.values("side")
    if len(sides) == 1 and sides <= {"left", "right"} and len({s.value for _, s in places}) == 1:
        side = next(iter(sides))
        options = [_data()["adjacent"][side].get(word) for word in words]
        if all(options) and concepts & set(_data()["lobar"]):
            number = rng.randrange(min(len(o) for o in options if o))
            yield from _swapped(
                analysis, "location.inaccuracy.adjacent", thing, places, [o[number] for o in options if o]
            )
    sure = thing.weight == ACT or (thing.weight == OPEN and not concepts & {*_data()["lumps"], "granuloma"})
    if sure and concepts & set(_data()["distant_for"]):
        far = [_data()["distant"].get(word) for word in words]
        if all(far) and not said(analysis, thing, re.compile(_data()["basal_said"])):
            yield from _swapped(analysis, "location.inaccuracy.distant", thing, places, [f for f in far if f])
    if thing.weight == ACT and _lump(concepts) and all(s.value in terms.zones() for _, s in places):
        named = any(document.lower[m.start : m.end].startswith(("lung", "pulmonary")) for m in thing.mentions)
        if named or said(analysis, thing, _TWO_SIDES):
            return
        new = rng.choice(_data()["spaces"])
        if all(m.slot("side") or s.start > m.end for m, s in places):
            yield from _swapped(analysis, "location.inaccuracy.other-space", thing, places, [new] * len(places))


def _lump(concepts: set[str]) -> bool:
    """Whether a thing is a nodule or mass, whatever it is read as."""
    return bool(concepts & set(_data()["lumps"])) and concepts <= {*_data()["lumps"], "malignancy", "opacity"}


def _swapped(
    analysis: Analysis, rule: str, thing: Thing, places: list[tuple[Mention, Slot]], new: list[str]
) -> Iterator[Edit]:
    changes: list[Change] = []
    for (mention, slot), word in zip(places, new, strict=True):
        form = _data()["adjectives"].get(word, word) if slot.start < mention.start else word
        start = slot.start
        if form == "lingula" and analysis.document.lower[: slot.start].endswith("left "):
            start -= len("left ")  # there is but one
        changes += swapped(analysis.document, start, slot.end, form)
    yield from made(analysis, rule, thing, changes, _sided(*places[0], span_of(*places[0])))


def _sided(mention: Mention, slot: Slot, span: tuple[int, int]) -> tuple[int, int]:
    """A span with the side that stands by a word of site."""
    side = next((s for s in mention.slots if s.name == "side" and abs(s.start - slot.start) < 12), None)
    return (min(span[0], side.start), span[1]) if side else span


def _losses(analysis: Analysis, thing: Thing, places: list[tuple[Mention, Slot]]) -> Iterator[Edit]:
    concepts = {m.finding.concept for m in thing.mentions}
    if _loose_zone(analysis, thing) or said(analysis, thing, _NARROW):
        return
    if thing.weight == ACT and _lump(concepts):
        rule = "location.omission.decides"
        if not all(s.value in terms.zones() for _, s in places) or said(analysis, thing, _TWO_SIDES):
            return
    elif concepts <= set(_data()["site_adds_nothing"]) and (thing.weight == BENIGN or concepts == {"pleural_effusion"}):
        rule = "location.omission.adds-nothing"
    else:
        return
    found = [_lost(analysis, mention, slot) for mention, slot in places]
    gone = [changes for changes in found if changes is not None]
    if len(gone) < len(found):
        return
    mention, slot = places[0]
    low, high = span_of(mention, slot)
    low = min([low, *(c.start for c in gone[0] if c.start > mention.end)])
    high = max([high, *(c.end for c in gone[0] if c.end <= mention.end or slot.start > mention.end)])
    changes = [change for changes in gone for change in changes]
    yield from made(analysis, rule, thing, changes, _sided(mention, slot, (low, high)))


def _lost(analysis: Analysis, mention: Mention, slot: Slot) -> list[Change] | None:
    """The site taken out of one phrase; what is left of it says the side, or that it is the lung."""
    document = analysis.document
    word = document.lower[slot.start : slot.end]
    side = next((s for s in mention.slots if s.name == "side" and s.end <= slot.start <= s.end + 8), None)
    both = next((s for s in mention.slots if s.name == "side" and s.start == slot.start), None)
    lung = slot.value in terms.zones()
    if not lung and slot.value not in ("spine", "perihilar"):
        return None
    if slot.start < mention.start:
        if not document.lower[slot.end : mention.start].strip(" ") and word in ("mediastinal", "hilar"):
            return None
        if both:
            return swapped(document, slot.start, slot.end, "bilateral")
        if side and lung:
            own = document.lower[mention.start : mention.end].startswith(("lung", "pulmonary"))
            if mention.finding.space == "lung" and not own:
                return swapped(document, slot.start, slot.end, "lung")
        elif not (lung or slot.value == "spine" or slot.start > mention.low):
            return None
        return removed(document, slot.start, slot.end)
    if both:
        return None
    if lung:
        if mention.finding.space != "lung":
            return None
        before = document.lower[max(0, slot.start - 12) : slot.start]
        if not re.search(r"\b(?:the|left|right|both)\s$", before):
            return None
        many = word.endswith(("s", "ices")) or before.endswith("both ")
        return swapped(document, slot.start, slot.end, "lungs" if many else "lung")
    if slot.value == "spine":
        into = _PREPOSITION.search(document.lower[: slot.start])
        following = document.lower[slot.end :]
        if into is None or not re.match(r"\s*(?:[.,;]|$|\s(?:is|are|noted|seen|with|present|without)\b)", following):
            return None
        return [Change(into.start(), slot.end, "")]
    return None


def _additions(
    analysis: Analysis, thing: Thing, places: list[tuple[Mention, Slot]], rng: random.Random
) -> Iterator[Edit]:
    """A site where the report gives none."""
    document = analysis.document
    mention = thing.head
    concepts = {m.finding.concept for m in thing.mentions}
    if any(m.polarity != PRESENT or m.reading for m in thing.mentions) or len(concepts) > 1:
        return
    concept = next(iter(concepts))
    general = [(m, s) for m, s in thing.slots("place") if document.lower[s.start : s.end] in _data()["general"]]
    if concept in _data()["spine"] and places and len(general) == len(places):
        new = rng.choice(["lower thoracic", "mid thoracic", "thoracic"])
        changes = []
        for _, s in general:
            whole = document.lower[s.start : s.end] == "thoracic spine"
            changes += inserted(
                document, s.start, new.replace(" thoracic", "").replace("thoracic", "lower") if whole else new
            )
        if len({m.sentence for m, _ in general}) == len(general) and not said(
            analysis, thing, re.compile(r"\b(?:upper|lower|mid|lumbar)\b|levels?\b")
        ):
            low, high = span_of(general[0][0], general[0][1])
            yield from made(analysis, "location.fabrication.detail", thing, changes, (low, high))
        return
    if (
        places
        or len(thing.mentions) > 1
        or said(analysis, thing, _ZONE)
        or said(analysis, thing, re.compile(_data()["elsewhere"]))
    ):
        return
    if _places_known(analysis, thing):
        return
    before = document.lower[max(0, mention.low - 20) : mention.low]
    for rule, table in (("detail", _data()["detail"]), ("urgency", _data()["urgent_site"])):
        entry = table.get(mention.finding.name)
        if entry is None or (rule == "detail") != (thing.weight == BENIGN or entry.get("open", False)):
            continue
        name = document.lower[mention.start : mention.end]
        if "names" in entry and name not in entry["names"]:
            continue
        if rule == "urgency" and (not_acute(analysis) or re.search(entry.get("not", "(?!)"), document.lower)):
            continue
        lung = next((s for s in mention.slots if s.name == "place" and s.value == "lung"), None)
        side = mention.slot("side")
        if lung and lung.start > mention.end and "zone" in entry and document.lower[lung.start : lung.end] == "lung":
            changes = inserted(document, lung.start, rng.choice(entry["zone"]))
            yield from made(analysis, f"location.fabrication.{rule}", thing, changes, (mention.start, lung.end))
        elif lung or (
            mention.slots and any(s.start > mention.end for s in mention.slots if s.name in ("side", "place"))
        ):
            continue
        elif (
            "before" in entry
            and (side is None or (side.value != "both" and rule == "detail"))
            and not re.search(r"\b(?:of|and|or)\s$", before)
        ):
            changes = inserted(document, mention.start, rng.choice(entry["before"]))
            yield from made(analysis, f"location.fabrication.{rule}", thing, changes, (mention.start, mention.end))
        elif "after" in entry and side is None and _ends(document.lower[mention.end :]):
            changes = appended(document, mention.end, rng.choice(entry["after"]))
            yield from made(analysis, f"location.fabrication.{rule}", thing, changes, (mention.start, mention.end))


def _ends(following: str) -> bool:
    """Whether a phrase can be put behind a name: nothing else hangs on it there."""
    return (
        re.match(r"\s*(?:[.;]|$|,\s|\s(?:is|are|noted|seen|present|identified|has|have|remains?)\b)", following)
        is not None
    )


def _ribs(analysis: Analysis, thing: Thing, rng: random.Random) -> Iterator[Edit]:
    """The rib above or below."""
    document = analysis.document
    if {m.finding.concept for m in thing.mentions} != {"fracture"}:
        return
    ordinals = _data()["ordinals"]
    ordinal = re.compile(rf"\b(?:(\d+)(?:st|nd|rd|th)|({'|'.join(ordinals[1:])}))\b")
    hits: list[re.Match[str]] = []
    for index in thing.sentences:
        sentence = document.sentences[index]
        if _RANGE.search(document.lower, sentence.start, sentence.end):
            return
        hits += ordinal.finditer(document.lower, sentence.start, sentence.end)
    numbers = {int(hit[1]) if hit[1] else ordinals.index(hit[2]) for hit in hits}
    if len(numbers) != 1 or not 3 <= min(numbers) <= 9:
        return
    new = numbers.pop() + rng.choice([-1, 1])
    ribs = [rib for hit in hits if (rib := _RIB.match(document.lower, hit.end()))]
    if len(ribs) < len(hits):
        return
    suffix = {2: "nd", 3: "rd"}.get(new, "th")
    changes = [
        change
        for hit in hits
        for change in swapped(document, *hit.span(), f"{new}{suffix}" if hit[1] else ordinals[new])
    ]
    yield from made(analysis, "location.inaccuracy.adjacent", thing, changes, (hits[0].start(), ribs[0].end()))


def _loose_zone(analysis: Analysis, thing: Thing) -> bool:
    """Whether a word of site that belongs to no finding may speak of this thing."""
    document = analysis.document
    own = {m.sentence for m in thing.mentions}
    other = {s.start for m in thing.mentions for s in m.slots if s.name == "place"}
    if thing.head.finding.space not in ("lung", "pleura"):
        return False
    for index, sentence in enumerate(document.sentences):
        for match in _ZONE.finditer(document.lower, sentence.start, sentence.end):
            loose = match.start() not in other if index in own else _OF_LUNG.search(match[0])
            if loose and not claimed(analysis, match.start()):
                return True
    return False


def _places_known(analysis: Analysis, thing: Thing) -> bool:
    """Whether another finding of the lung has a site, which this one may share."""
    own = {id(m) for m in thing.mentions}
    return thing.head.finding.space in ("lung", "pleura") and any(
        id(m) not in own
        and m.polarity != ABSENT
        and m.finding.space in ("lung", "pleura")
        and m.sentence in thing.sentences
        for m in analysis.mentions
    )
