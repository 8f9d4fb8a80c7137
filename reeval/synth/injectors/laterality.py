"""Sides: a finding or device on the other side, on one side of two, on no side, or on one that the report does not
give."""

import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis
from reeval.synth.document import Document
from reeval.synth.edit import Change, Edit
from reeval.synth.injectors.agreement import plural as as_plural
from reeval.synth.injectors.agreement import singular as as_singular
from reeval.synth.injectors.rewording import appended, inserted, removed, swapped
from reeval.synth.injectors.things import ACT, BENIGN, Thing, claimed, compared, made, said, span_of, things
from reeval.synth.mentions import ABSENT, PRESENT, Mention, Slot

_SIDE = re.compile(
    r"\b(?:left|right|bilateral\w*|both|biapical|bibasilar|bibasal|unilateral\w*)\b(?![- ]?(?:atri|ventric|heart|aort))"
)
_THORACIC = re.compile(
    r"lung|lobe|\bbase|basilar|basal|apex|apices|apical|hemithora|pleura|costophrenic|\bhil|chest|\bside|midlung|zone"
    r"|lingula|thorax|perihilar|effusion|opacit|densit"
)
_ONE_SIDED_LOBE = re.compile(
    r"middle lobe|lingul|retrocardiac|cardiac border|heart border|right heart|left heart|aortic|arch\b|trache"
)
_BOTH_LUNGS = re.compile(
    r"\b(?:bases|apices|lungs|lobes|zones|fields|hila|bilateral\w*|both|multifocal|scattered|areas|diffuse\w*)\b"
)
_UNSURE = re.compile(
    r"\b(?:may|might|if|could|concern\w*|please|clear|history|evaluat\w*|adjacent|associated|compressive|passive)\b"
)
_ON_THE = re.compile(r",?\s*\b(?:on|in|at|to) (?:the )?$")


def _data() -> dict[str, Any]:
    return toml.table("injectors/laterality.toml")


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All safe edits of a report's sides."""
    for thing in things(analysis):
        if not thing.safe or compared(analysis, thing) or _other_of_kind(analysis, thing):
            continue
        sides = thing.values("side")
        if sides == {"left"} or sides == {"right"}:
            yield from _one_sided(analysis, thing)
        elif sides == {"both"}:
            yield from _one_of_both(analysis, thing, rng)
        elif not sides:
            yield from _unsided(analysis, thing, rng)


def _one_sided(analysis: Analysis, thing: Thing) -> Iterator[Edit]:
    if not all(_sided(mention) for mention, _ in thing.slots("side")) or _loose_side(analysis, thing):
        return
    document = analysis.document
    mention, slot = thing.slots("side")[0]
    if said(analysis, thing, _ONE_SIDED_LOBE) or _sided_beside(analysis, thing):
        return
    if not _other_side_told(analysis, "right" if slot.value == "left" else "left"):
        rule = _wrong(thing)
        if rule:
            changes = [c for _, s in _unique(thing) for c in swapped(document, s.start, s.end, _flipped(document, s))]
            yield from made(analysis, rule, thing, changes, span_of(mention, slot))
        rule = _one_for_both(thing)
        if rule:
            yield from _both(analysis, thing, rule)
    rule = _lost(analysis, thing)
    if rule:
        gone = [_without(document, m, s) for m, s in _unique(thing)]
        first = gone[0]
        if all(g is not None for g in gone) and first:
            low, high = span_of(mention, slot)
            span = (low, max([high, *(c.end for c in first if slot.start > mention.end)]))
            yield from made(analysis, rule, thing, [c for g in gone if g for c in g], span)


def _one_of_both(analysis: Analysis, thing: Thing, rng: random.Random) -> Iterator[Edit]:
    """One side for both."""
    rule = _one_for_both(thing)
    if said(analysis, thing, re.compile(r"\b(?:bases|apices|lungs|lobes|zones|fields|hila|both)\b")):
        return
    if not rule or _loose_side(analysis, thing) or not all(_sided(m) for m, _ in thing.slots("side")):
        return
    document = analysis.document
    side = rng.choice(["left", "right"])
    changes: list[Change] = []
    for mention, slot in _unique(thing):
        word = document.lower[slot.start : slot.end]
        new = _data()["one"].get(word)
        before = document.lower[: slot.start]
        if new is None or re.search(r"\b(?:in|of|at|the|both)\s$", before[-8:]):
            return
        changes += swapped(document, slot.start, slot.end, new.format(side=side))
        if mention.plural and mention.finding.concept in _data()["paired"]:
            number = as_singular(analysis, mention, with_a=True)
            if number is None:
                return
            changes += number
    for mention in thing.mentions:
        if mention.plural and not mention.slot("side") and mention.finding.concept in _data()["paired"]:
            return
    mention, slot = thing.slots("side")[0]
    yield from made(analysis, rule, thing, changes, span_of(mention, slot))


def _both(analysis: Analysis, thing: Thing, rule: str) -> Iterator[Edit]:
    """Both sides for one."""
    document = analysis.document
    if thing.slots("size") or said(analysis, thing, re.compile(r"\bmeasur|\d\s?[cm]m\b")):
        return
    changes: list[Change] = []
    for mention, slot in _unique(thing):
        if slot.start > mention.start or not (mention.finding.mass or mention.plural):
            number = as_plural(analysis, mention) if slot.start < mention.start else None
            if number is None:
                return
            changes += number
        if slot.start > mention.start:
            return
        following = document.lower[slot.end : mention.end]
        basilar = re.match(r"\s(basilar|basal|apical)\b", following)
        if re.match(r"\s(?:lung|upper|lower|mid|base|apex)", following):
            return
        if basilar:
            changes += swapped(document, slot.start, slot.end + basilar.end(), "bi" + basilar[1])
        else:
            changes += [c for c in swapped(document, slot.start, slot.end, "bilateral") if not _same(c, changes)]
    if any(mention.slot("side") is None and not mention.finding.mass for mention in thing.mentions):
        return
    mention, slot = thing.slots("side")[0]
    yield from made(analysis, rule, thing, _articles_once(changes), span_of(mention, slot))


def _unsided(analysis: Analysis, thing: Thing, rng: random.Random) -> Iterator[Edit]:
    """A side where the report gives none: only where nothing else in it could tell the true one."""
    document = analysis.document
    mention = thing.head
    finding = mention.finding
    confined, detail = _data()["confined"], _data()["detail"]
    if finding.name in confined and thing.weight == ACT:
        rule = "laterality.fabrication.confined"
    elif finding.name in detail and thing.weight == BENIGN:
        rule = "laterality.fabrication.detail"
    else:
        return
    if any(m.reading for m in thing.mentions):
        return
    places = {document.lower[slot.start : slot.end] for _, slot in thing.slots("place")}
    if not places <= set(_data()["unsided_places"]) or _side_of_chest(analysis):
        return
    if said(analysis, thing, _BOTH_LUNGS) or said(analysis, thing, _UNSURE) or said(analysis, thing, _SIDE):
        return
    if any(m.polarity != PRESENT for m in thing.mentions) or _neighbours(analysis, thing):
        return
    side = rng.choice(["left", "right"])
    place = mention.slot("place")
    following = document.lower[mention.end :].lstrip()
    if (
        len(thing.mentions) == 1
        and not place
        and rng.random() < 0.5
        and not following.startswith(("in ", "of ", "with "))
    ):
        where = rng.choice([f"on the {side}", f"in the {side} lung"] if finding.space == "lung" else [f"on the {side}"])
        yield from made(analysis, rule, thing, appended(document, mention.end, where), (mention.start, mention.end))
        return
    changes = []
    for m in thing.mentions:
        place = m.slot("place")
        if place and place.start > m.end:
            return
        at = place.start if place else m.start
        changes += inserted(document, at, side if place else rng.choice([side, side, f"{side}-sided"]))
    place = mention.slot("place")
    yield from made(analysis, rule, thing, changes, (place.start if place else mention.start, mention.end))


def _neighbours(analysis: Analysis, thing: Thing) -> bool:
    """Whether another finding of the chest stands in one of its sentences, which a side would seem to include."""
    own = {id(mention) for mention in thing.mentions}
    return any(
        id(other) not in own and other.polarity != ABSENT and other.finding.space in ("lung", "pleura")
        for mention in thing.mentions
        for other in analysis.by_sentence[mention.sentence]
    )


def _wrong(thing: Thing) -> str | None:
    if thing.device:
        return "laterality.inaccuracy.wrong-side" if thing.head.finding.concept in _data()["devices"] else None
    return {ACT: "laterality.inaccuracy.wrong-side", BENIGN: "laterality.inaccuracy.untreated"}.get(thing.weight)


def _one_for_both(thing: Thing) -> str | None:
    if thing.device:
        return None
    return {ACT: "laterality.inaccuracy.one-for-both", BENIGN: "laterality.inaccuracy.untreated"}.get(thing.weight)


def _lost(analysis: Analysis, thing: Thing) -> str | None:
    if thing.device:
        placed = thing.head.finding.concept in _data()["devices"] and not said(
            analysis, thing, re.compile(_data()["misplaced"])
        )
        return "laterality.omission.untreated" if placed else None
    concepts = {mention.finding.concept for mention in thing.mentions}
    if thing.weight == ACT and concepts & set(_data()["treated"]):
        return "laterality.omission.treated"
    return "laterality.omission.untreated" if thing.weight == BENIGN else None


def _sided(mention: Mention) -> bool:
    return mention.finding.sided or mention.finding.device or mention.finding.reading


def _unique(thing: Thing) -> list[tuple[Mention, Slot]]:
    """Side words, each once."""
    return list({slot.start: (mention, slot) for mention, slot in thing.slots("side")}.values())


def _flipped(document: Document, slot: Slot) -> str:
    word = document.lower[slot.start : slot.end]
    return word.replace("left", "right") if "left" in word else word.replace("right", "left")


def _without(document: Document, mention: Mention, slot: Slot) -> list[Change] | None:
    """A side word taken out, with "on the" where nothing follows that it could stand before."""
    if slot.start < mention.start:
        noun = re.match(r"\s(?:lung )?(base|apex)\s", document.lower[slot.end : mention.start])
        if noun:  # "left base atelectasis"
            form = {"base": "basilar", "apex": "apical"}[noun[1]]
            return swapped(document, slot.start, slot.end + noun.end(1), form)
        return removed(document, slot.start, slot.end)
    zone = re.match(r"\s+(?:\w+\s+){0,2}?(?:lung|lobe|base|apex|midlung|zone|hilum)", document.lower[slot.end :])
    if zone and document.lower[: slot.start].endswith("the ") and zone[0].split() != ["lobe"]:
        return removed(document, slot.start, slot.end)
    before = _ON_THE.search(document.lower[: slot.start])
    if before and re.match(r"\s*(?:[.,;]|$|\s(?:and|with|which|that|is|are)\b)", document.lower[slot.end :]):
        return [Change(before.start(), slot.end, "")]
    return None


def _loose_side(analysis: Analysis, thing: Thing) -> bool:
    """Whether a side word that belongs to no finding may speak of this thing."""
    document = analysis.document
    own = {mention.sentence for mention in thing.mentions}
    for index, sentence in enumerate(document.sentences):
        if sentence.section == "other":
            continue
        for match in _SIDE.finditer(document.lower, sentence.start, sentence.end):
            if claimed(analysis, match.start()):
                continue
            if index in own or _THORACIC.search(document.lower, sentence.start, sentence.end):
                return True
            if "diaphragm" in thing.topics and "diaphragm" in document.lower[sentence.start : sentence.end]:
                return True
    return False


def _sided_beside(analysis: Analysis, thing: Thing) -> bool:
    """Whether another finding in one of its sentences has its side, which would tell the side or be at odds with it."""
    own = {slot.start for mention in thing.mentions for slot in mention.slots}
    sides = thing.values("side")
    return any(
        slot.name == "side" and slot.value in sides and slot.start not in own
        for mention in thing.mentions
        for other in analysis.by_sentence[mention.sentence]
        for slot in other.slots
    )


def _other_of_kind(analysis: Analysis, thing: Thing) -> bool:
    """Whether the report has another instance of one of its concepts."""
    return sum(instance.concept in thing.topics for instance in analysis.instances) > len(thing.instances)


def _other_side_told(analysis: Analysis, side: str) -> bool:
    """Whether a normal statement speaks of this side, which the flipped finding would contradict."""
    return any(
        normal.spaces
        and re.search(
            rf"\b{side} (?!ventric|atri|heart)", analysis.document.of(analysis.sentence(normal.sentence)).lower()
        )
        for normal in analysis.normals
    )


def _side_of_chest(analysis: Analysis) -> bool:
    document = analysis.document
    return any(
        _SIDE.search(document.lower, sentence.start, sentence.end)
        and _THORACIC.search(document.lower, sentence.start, sentence.end)
        for sentence in document.sentences
    )


def _same(change: Change, others: list[Change]) -> bool:
    return any((change.start, change.end) == (other.start, other.end) for other in others)


def _articles_once(changes: list[Change]) -> list[Change]:
    """An article that two changes speak of is taken out, if one of them takes it out."""
    kept: dict[tuple[int, int], Change] = {}
    for change in changes:
        old = kept.get((change.start, change.end))
        if old is None or change.new == "":
            kept[change.start, change.end] = change
    return list(kept.values())
