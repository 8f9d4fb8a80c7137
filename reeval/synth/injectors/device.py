"""Lines, tubes, implants: positions of tips exchanged and lost; the rest stands in `device_kinds`."""

import dataclasses
import functools
import itertools
import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Edit, dropped_sentence
from reeval.synth.injectors.device_kinds import edits as of_kinds
from reeval.synth.injectors.nounphrase import near_placeholder
from reeval.synth.mentions import PRESENT


def _data() -> dict[str, Any]:
    return toml.table("injectors/device.toml")


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """Where a report says that a tip lies: text[start:end], with its article; good or bad."""

    sentence: int
    start: int
    end: int
    good: bool
    article: bool


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All edits of `device` that a report can carry."""
    data = _data()
    for kind, entry in data["positions"].items():
        yield from _faulty(analysis, kind, entry)
        found = _positions(analysis, entry)
        if found and len({position.good for position in found}) == 1 and not _several(analysis, kind):
            yield from _moved(analysis, kind, entry, found, rng)
            yield from _untold(analysis, kind, found)
    yield from _placed(analysis, rng)
    yield from of_kinds(analysis, rng, data)


def _several(analysis: Analysis, kind: str) -> bool:
    """Whether a report speaks of two devices of one kind, or of one that was removed."""
    names = {m.finding.name for m in analysis.mentions if m.finding.device and m.finding.concept == kind}
    sides = {m.value("side") for m in analysis.mentions if m.finding.device and m.finding.concept == kind} - {""}
    return len(names) > 1 or (len(sides) > 1 and kind != "cardiac")


def _positions(analysis: Analysis, entry: dict[str, Any]) -> list[Position]:
    document = analysis.document
    lower = document.lower
    before = _pattern(_data()["tip"]["before"])
    found: list[Position] = []
    for index, sentence in enumerate(document.sentences):
        if sentence.section == "other" or not _pattern(entry["words"]).search(lower, sentence.start, sentence.end):
            continue
        for good in (True, False):
            for match in _pattern(entry["good" if good else "bad"]).finditer(lower, sentence.start, sentence.end):
                lead = before.search(lower, sentence.start, match.start())
                if not lead and not entry.get("whole"):
                    continue
                if "not_good" in entry and good and re.search(entry["not_good"], lower[: match.start()][-12:]):
                    return []
                if near_placeholder(document, match.start(), match.end(), 12):
                    return []
                start = lead.start("the") if lead and not entry.get("whole") else match.start()
                found.append(Position(index, start, match.end(), good, start < match.start()))
    return found if len({position.sentence for position in found}) == len(found) else []


def _moved(
    analysis: Analysis, kind: str, entry: dict[str, Any], found: list[Position], rng: random.Random
) -> Iterator[Edit]:
    document = analysis.document
    good = found[0].good
    old = {" ".join(document.lower[p.start : p.end].split()).removeprefix("the ") for p in found}
    care = _pattern(_data()["tip"]["care"]).search(document.lower)
    sentences = " ".join(document.of(analysis.sentence(p.sentence)).lower() for p in found)
    against = good and (re.search(entry.get("against_bad", "(?!)"), sentences) or _pleased(sentences))
    tip = _data()["tip"]
    if re.search(tip["doubt"], sentences):
        return
    against = bool(against or (not good and re.search(tip["elsewhere"], sentences)))
    jobs = [("inaccuracy.placement", "to_bad" if good else "to_good")] if not care and not against else []
    if good:
        jobs.append(("inaccuracy.same-care", "to_good"))
    for rule, table in jobs:
        options = [new for new in entry[table] if new.removeprefix("the ") not in old and not _nested(new, old)]
        if kind == "airway" and rule.endswith("same-care"):
            options = [new for new in options if "trachea" in new]
        if table == "to_bad":
            options = [new for new in options if not _contains(new, sentences)]
        if not options:
            continue
        new = rng.choice(options)
        changes = []
        for position in found:
            plain = position.article or entry.get("whole")
            words = new if plain else new.removeprefix("the ")
            start = position.start
            at = re.search(r"\b(?:at|near|approximating)\s+$", document.lower[:start][-14:])
            if at and table == "to_bad" and kind == "venous":
                start, words = start - len(at[0]), f"in {words}"
            changes.append(Change(start, position.end, document.cased(words)))
        first = found[0]
        low = _from_tip(analysis, first)
        yield Edit(f"device.{rule}", tuple(changes), (low, first.end), frozenset({kind}))


def _nested(new: str, old: set[str]) -> bool:
    """Whether the new words only say what the old ones say, as "the SVC" for "the lower SVC"."""
    new = new.lower().removeprefix("the ")
    if "atrial junction" in new:
        return any("atrial junction" in word for word in old)
    return any(new in word or (word in new and word != "stomach") for word in old)


def _contains(new: str, text: str) -> bool:
    """Whether the place is named in these sentences already, as by "right internal jugular catheter"."""
    if "jugular" in new and re.search(r"\bij\b|jugular", text):
        return True
    vessel = re.sub(r"^(?:the|in the|at the) |\b(?:left|right) | vein$", "", new.lower()).strip()
    return vessel in text


def _pleased(text: str) -> bool:
    return (
        re.search(r"\b(?:satisfactory|good|appropriate|standard|proper|adequate|expected position|optimal)\b", text)
        is not None
    )


def _from_tip(analysis: Analysis, position: Position) -> int:
    """Where the clause of a tip begins, for the words that an error quotes."""
    sentence = analysis.sentence(position.sentence)
    tips = list(
        re.finditer(r"\b(?:distal )?(?:tips?|leads?)\b", analysis.document.lower[sentence.start : position.start])
    )
    return sentence.start + tips[-1].start() if tips else position.start


def _untold(analysis: Analysis, kind: str, found: list[Position]) -> Iterator[Edit]:
    """The position lost: the device stays."""
    document = analysis.document
    lower = document.lower
    changes = []
    spans = []
    for position in found:
        sentence = analysis.sentence(position.sentence)
        mentions = [
            m for m in analysis.by_sentence[position.sentence] if m.finding.concept == kind and m.end <= position.start
        ]
        if not mentions or lower[position.end : sentence.end].strip() not in ("", "."):
            return
        mention = mentions[-1]
        match = re.fullmatch(_data()["tip"]["lead"], lower[mention.end : position.start])
        if not match or near_placeholder(document, mention.end, position.end, 8):
            return
        start = mention.end + match.start("gone")
        finite = re.search(r"\b(?:is|are|projects|terminates|overlies)\b", match["gone"])
        bare = not re.search(r"\b(?:is|are|noted|seen)\b", lower[sentence.start : start])
        words = " is present" if finite and bare else ""
        changes.append(Change(start, position.end, document.cased(words)))
        spans.append((mention.low, position.end))
    if _pattern(_data()["tip"]["care"]).search(lower):
        return
    rule = "inert" if found[0].good else "misplaced"
    yield Edit(f"device.omission.{rule}", tuple(changes), spans[0], frozenset({kind}))


def _faulty(analysis: Analysis, kind: str, entry: dict[str, Any]) -> Iterator[Edit]:
    """A malpositioned device lost with every sentence on it."""
    document = analysis.document
    indices = sorted({m.sentence for m in analysis.mentions if m.finding.device and m.finding.concept == kind})
    fault = _pattern(_data()["tip"]["fault"] + "|" + entry["bad"])
    spoken = {document.index(match.start()) for match in _pattern(entry["words"]).finditer(document.lower)}
    if not indices or len(indices) > 2 or kind == "cardiac" or not spoken <= set(indices):
        return
    changes: list[Change] = []
    for index in indices:
        sentence = analysis.sentence(index)
        only = all(m.finding.concept == kind and m.polarity == PRESENT for m in analysis.by_sentence[index])
        gone = dropped_sentence(document, index)
        text = document.lower[sentence.start : sentence.end]
        if not only or gone is None or not fault.search(text) or re.search(r"removed|removal", text):
            return
        changes += gone
    changes.sort()
    if all(a.end <= b.start for a, b in itertools.pairwise(changes)):
        sentence = analysis.sentence(indices[0])
        span = (sentence.start, sentence.end)
        yield Edit("device.omission.misplaced", tuple(changes), span, frozenset({kind, "recommendation"}))


def _placed(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """ "In satisfactory position" turned round."""
    document = analysis.document
    data = _data()["placed"]
    found = [m for m in re.finditer(data["pattern"], document.lower) if document.index(m.start()) is not None]
    if len(found) != 1:
        return
    match = found[0]
    index = document.index(match.start())
    assert index is not None
    devices = [m for m in analysis.by_sentence[index] if m.finding.device and m.finding.concept != "inert"]
    if len(devices) != 1 or not devices[0].clean or devices[0].polarity != PRESENT:
        return
    kind = devices[0].finding.concept
    if re.search(r"\b(?:tips?|svc|junction|stomach|carina)\b", document.of(analysis.sentence(index)).lower()):
        return  # where it lies is said besides
    if any(m.finding.concept == kind and m.sentence != index for m in analysis.mentions):
        return
    new = str(rng.choice(data["bad"]))
    change = Change(match.start(), match.end(), document.cased(new))
    low = min(devices[0].low, match.start())
    yield Edit("device.inaccuracy.placement", (change,), (low, match.end()), frozenset({kind}))
