"""The aspect `recommendation`: advice on follow-up, further imaging, communication or action."""

import functools
import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis
from reeval.synth.document import PLACEHOLDER
from reeval.synth.edit import Change, Edit, replaced
from reeval.synth.injectors.passages import added, all_dropped, leaned_on, sections
from reeval.synth.injectors.spaces import words_of
from reeval.synth.injectors.weights import weight_of
from reeval.synth.mentions import ABSENT, PRESENT

_RULE = "recommendation."
_TOPICS = frozenset({"recommendation"})
_SUBJECT = re.compile(
    r"\b(?:correlat|ct\b|mri\b|scan|x-|radiograph|film|follow|communicat|discuss|notif|compar|imaging)"
)
# What makes advice more than generic: a disease to be found, an examination of its own.
_GRAVE = re.compile(
    r"tubercul|malignan|metasta|cancer|neoplas|fractur|congestion|further|\b(?:ct|mri|pet|ultrasound|biopsy|bronchoscopy)\b"
)
# Whether older films are looked for is needed or not is a matter of opinion.
_COMPARED = re.compile(r"\bcompar\w+|\b(?:prior|old|previous|outside) (?:images|films?|studies|exam\w*|radiographs?)")
# The next longer unit, far outside any range of follow-up.
_LONGER = {"day": "week", "week": "month", "month": "year"}


@functools.cache
def _table() -> dict[str, Any]:
    table = toml.read("injectors/recommendations.toml")
    for name in ("advice", "generic", "needed", "opening", "clause", "interval"):
        table[name] = re.compile(table[name])
    table["changed"] = [(re.compile(entry["from"]), entry["to"]) for entry in table["changed"]]
    return table


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All edits of its rules that a report can carry, a few of each where there are many."""
    advice = _table()["advice"]
    found = False
    for index, sentence in enumerate(analysis.document.sentences):
        if sentence.section != "other" and advice.search(words_of(analysis, index)):
            found = True
            if _repeated(analysis, index):
                continue
            yield from _lost(analysis, index)
            yield from _changed(analysis, index, rng)
    yield from _added(analysis, rng, advised=found)


def _repeated(analysis: Analysis, index: int) -> bool:
    """Whether another sentence gives the same advice, so that it would still be there."""
    mine = set(_SUBJECT.findall(words_of(analysis, index)))
    return any(
        other != index and mine & set(_SUBJECT.findall(words_of(analysis, other)))
        for other, sentence in enumerate(analysis.document.sentences)
        if sentence.section != "other" and _table()["advice"].search(words_of(analysis, other))
    )


def _kind(words: str) -> str | None:
    """ "needed", "generic", or None where it is neither for sure."""
    table = _table()
    needed, generic = bool(table["needed"].search(words)), bool(table["generic"].search(words))
    if needed == generic or (generic and _GRAVE.search(words)):
        return None
    if needed and _COMPARED.search(words) and not re.search(r"\bct\b|follow", words):
        return None
    return "needed" if needed else "generic"


def _lost(analysis: Analysis, index: int) -> Iterator[Edit]:
    document = analysis.document
    sentence = document.sentences[index]
    words = words_of(analysis, index)
    clause = _table()["clause"].search(words)
    if _goes_on(analysis, index):
        return
    if _table()["opening"].match(words) and not any(m.polarity == ABSENT for m in analysis.by_sentence[index]):
        kind = _kind(words)
        changes = all_dropped(analysis, [index])
        # Of what is normal there was nothing to tell.
        idle = kind == "needed" and _nothing_to_act_on(analysis)
        if kind and changes and not idle and not leaned_on(analysis, [index]):
            yield Edit(f"{_RULE}omission.{kind}", changes, (sentence.start, sentence.end), _TOPICS)
    elif clause and analysis.clean(index):
        kind = _kind(clause["advice"])
        if kind:
            start, low, high = (sentence.start + at for at in (clause.start(), *clause.span("advice")))
            changes = (Change(start, low, ""), Change(low, high, ""))
            yield Edit(f"{_RULE}omission.{kind}", changes, (low, high), _TOPICS)


def _goes_on(analysis: Analysis, index: int) -> bool:
    """Whether the sentence runs on into the next, which a placeholder parts from it."""
    document = analysis.document
    after = document.sentences[index + 1] if index + 1 < len(document.sentences) else None
    return after is not None and not after.item and PLACEHOLDER.match(document.text, after.start) is not None


def _changed(analysis: Analysis, index: int, rng: random.Random) -> Iterator[Edit]:
    document = analysis.document
    start = document.sentences[index].start
    words = words_of(analysis, index)
    interval = _table()["interval"].search(words)
    if interval and (interval["high"] or interval["low"] != "1") and re.search(r"follow|repeat|recommend|in ", words):
        low, high = start + interval.start(), start + interval.end()
        unit = interval["unit"]
        if unit in _LONGER:
            joint = "-" if interval["join"] == "-" else " to "
            new = joint.join(number for number in (interval["low"], interval["high"]) if number)
            longer = f"{new}{interval['gap']}{_LONGER[unit]}{interval['s']}"
            yield Edit(f"{_RULE}inaccuracy.interval", (_replaced(analysis, low, high, longer),), (low, high), _TOPICS)
        same = None
        if interval["high"] and int(interval["high"]) - int(interval["low"]) <= 4:
            same = f"{rng.choice((interval['low'], interval['high']))}{interval['gap']}{unit}{interval['s']}"
        elif not interval["high"] and unit in ("week", "month") and interval["gap"] == " ":
            wider = int(interval["low"]) + (2 if int(interval["low"]) > 3 else 1)
            same = f"{interval['low']} to {wider} {unit}s"
        if same:
            yield Edit(f"{_RULE}inaccuracy.same-range", (_replaced(analysis, low, high, same),), (low, high), _TOPICS)
    if _kind(words) != "needed":
        return
    options = []
    for pattern, texts in _table()["changed"]:
        match = pattern.search(words)
        if match and "not" not in words.split() and "no" not in words.split():
            low, high = start + match.start(), start + match.end()
            options.append((low, high, rng.choice(texts)))
    for low, high, new in rng.sample(options, min(2, len(options))):
        end = high if not new.endswith(" ") else high + len(re.match(r"\w*", words[high - start :])[0])  # type: ignore[index]
        change = _replaced(analysis, low, high, new)
        yield Edit(f"{_RULE}inaccuracy.misdirected", (change,), (low, end), _TOPICS)


def _replaced(analysis: Analysis, start: int, end: int, new: str) -> Change:
    shouted = analysis.document.text[start:end].isupper() and analysis.document.text[start:end].isalpha()
    return replaced(analysis.document, start, end, new.upper() if shouted and end - start > 4 else new)


def _added(analysis: Analysis, rng: random.Random, *, advised: bool) -> Iterator[Edit]:
    groups = sections(analysis)
    members = groups.get("impression") or groups.get("") or groups.get("findings")
    if not members or advised:
        return
    last = members[-1]
    end = analysis.sentence(last).end
    texts = _table()["added"]
    idle = _nothing_to_act_on(analysis)
    for text in rng.sample(texts["generic"] + (texts["needless"] if idle else []), 5):
        yield Edit(f"{_RULE}fabrication.generic", added(analysis, last, text), (end, end), _TOPICS)
    if idle:
        for text in rng.sample(texts["unsupported"], rng.choice((0, 0, 0, 3))):
            yield Edit(f"{_RULE}fabrication.unsupported", added(analysis, last, text), (end, end), _TOPICS)


def _nothing_to_act_on(analysis: Analysis) -> bool:
    """Whether the report calls the study free of acute disease and names only what calls for nothing."""
    return any("whole study" in normal.names for normal in analysis.normals) and all(
        mention.polarity == ABSENT or (mention.polarity == PRESENT and weight_of(mention) == "benign")
        for mention in analysis.mentions
    )
