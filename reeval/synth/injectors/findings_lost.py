"""finding.omission: a finding, or a normal statement, that the candidate no longer has or denies."""

import dataclasses
import functools
import itertools
import random
import re
from collections.abc import Iterator, Mapping

from reeval.synth.analysis import Analysis
from reeval.synth.document import PLACEHOLDER
from reeval.synth.edit import Change, Edit
from reeval.synth.injectors.listings import Listing, assertions, denials
from reeval.synth.injectors.passages import (
    all_dropped,
    dropped,
    exchanged,
    joined,
    leaned_on,
    refers_to_others,
    sections,
)
from reeval.synth.injectors.spaces import words_of
from reeval.synth.injectors.weights import HARMLESS, denied, findings_table, relatives, standing, weight_of
from reeval.synth.mentions import ABSENT, PRESENT, UNCLEAR, Mention, follow_ups

_RULE = "finding.omission."
# What may stand beside a finding in a sentence that goes with it.
_FRAME = re.compile(
    r"(?:there|is|are|was|were|a|an|the|of|in|with|within|and|also|again|noted|seen|present|identified|demonstrated"
    r"|visualized|appears?|remains?|patient|has|have|evidence|at|on|to|some|incidental|incidentally|note|made|multilevel"
    r"|lower|mid|upper|level|along|involving|throughout|overlying|area|areas|region|which|that|measures|measuring|chest"
    r"|lungs?|spine|thoracic|levels|changes|lateral|medial|posterior|anterior|view|aspect|redemonstration|redemonstrated"
    r"|bony|visualized|overall|mild|moderate|size|sized|descending|ascending|arch|aorta|thoracolumbar|about"
    r"|approximately|projecting|projects|projected|over|field|zone|suggestive|consistent|compatible|likely|representing"
    r"|represents)\b|[\s,.;:()/-]+"
)
_ADVICE = re.compile(
    r"\b(?:recommend|follow-?\s?up|suggested|advised|further evaluation|correlat|consider|discussed|communicated"
    r"|notified|called|useful|helpful|could be|comparison to|scan|\bct\b|may contain)"
)
_NOT_NORMAL = re.compile(
    r"\b(?:prominent|enlarged?|tortuous|mild|mildly|slight|slightly|calcif\w+|borderline|upper limits?)\b"
)


@functools.cache
def _spoken() -> Mapping[str, re.Pattern[str]]:
    return {concept: re.compile(pattern) for concept, pattern in findings_table()["spoken"].items()}


@dataclasses.dataclass(frozen=True, slots=True)
class _Unit:
    """Findings that can only go together, for they share sentences or could be one thing: their concepts, their
    mentions, the sentences that speak of nothing else, and those in lists that go on without them."""

    concepts: frozenset[str]
    mentions: tuple[Mention, ...]
    whole: frozenset[int]
    listed: dict[int, Listing]
    weight: str

    @property
    def first(self) -> Mention:
        """The first mention that has its weight."""
        return next((m for m in self.mentions if weight_of(m) == self.weight), self.mentions[0])


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    yield from _findings(analysis, rng)
    yield from _normals(analysis, rng)


def _findings(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    lists = assertions(analysis)
    done: set[frozenset[str]] = set()
    for concept in dict.fromkeys(instance.concept for instance in analysis.instances):
        unit = _unit(analysis, concept, lists)
        if unit is None or unit.concepts in done:
            continue
        done.add(unit.concepts)
        if unit.weight != "benign" and _advised(analysis, unit):
            continue
        later = {i for index in unit.whole for i in follow_ups(analysis.document, index)} - unit.whole
        if any(analysis.by_sentence[i] or not analysis.clean(i) for i in later):
            continue
        gone = unit.whole | later
        if leaned_on(analysis, gone) or refers_to_others(analysis, gone):
            continue
        if unit.weight != "benign" and any(_known(analysis, unit, index) for index in unit.whole):
            continue
        lost = _lost(analysis, unit, gone, rng)
        if lost:
            yield Edit(_RULE + unit.weight, lost[0], lost[1], unit.concepts)
        if not unit.listed:
            told = _denied(analysis, unit, later, rng)
            if told:
                yield Edit(_RULE + unit.weight, told[0], told[1], unit.concepts)


def _unit(analysis: Analysis, concept: str, lists: dict[int, Listing]) -> _Unit | None:
    """All that has to go with a concept; None where that is too much, or unclear, or of no known weight."""
    absent = denied(analysis)
    concepts = {concept}
    listed: dict[int, Listing] = {}
    while True:
        mentions = [m for m in analysis.mentions if m.polarity != ABSENT and m.finding.concept in concepts]
        more = {c for known in concepts for c in relatives(known)} & standing(analysis)
        listed = {}
        for index in {m.sentence for m in mentions}:
            others = {m.finding.concept for m in analysis.by_sentence[index]} - concepts - more
            if others and index in lists and sum(m.sentence == index for m in mentions) == 1:
                listed[index] = lists[index]
            else:
                more |= others
        if more <= concepts:
            break
        concepts |= more
        if len(concepts) > 3:
            return None
    if any(m.finding.device or m.polarity == UNCLEAR for m in mentions) or concepts & set(absent):
        return None
    whole = frozenset({m.sentence for m in mentions} - set(listed))
    if any(analysis.normal_of.get(index) or len(analysis.by_sentence[index]) > 4 for index in whole):
        return None
    weight = _weight(analysis, mentions)
    if weight == "open" or any(not _fits(analysis, index, weight) for index in whole):
        return None
    spoken = [_spoken()[known] for known in concepts if known in _spoken()]
    if any(
        index not in whole and index not in listed and pattern.search(words_of(analysis, index))
        for index, sentence in enumerate(analysis.document.sentences)
        for pattern in spoken
        if sentence.section != "other"
    ):
        return None
    return _Unit(frozenset(concepts), tuple(mentions), whole, listed, weight)


def _weight(analysis: Analysis, mentions: list[Mention]) -> str:
    found = {weight_of(m) for m in mentions}
    graded = {m.finding.concept for m in mentions if weight_of(m) != "open"}
    loose = {m.finding.concept for m in mentions if weight_of(m) == "open"}
    if not loose - graded:
        found -= {"open"}  # the degree is given once and left out elsewhere
    if found == {"benign"}:
        return "benign"
    urgent = [m for m in mentions if weight_of(m) == "urgent"]
    actionable = [m for m in mentions if weight_of(m) == "actionable"]
    if not urgent and not actionable:
        return "open"
    places = {m.sentence for m in (*urgent, *actionable)}
    if any(weight_of(m) == "benign" and (m.sentence in places or m.reading or not m.clean) for m in mentions):
        return "open"  # what looks like more is, or may be, read as something harmless
    if any(HARMLESS.search(words_of(analysis, m.sentence)) for m in (*urgent, *actionable)):
        return "open"
    return "urgent" if urgent and all(m.polarity == PRESENT for m in urgent) else "actionable" if actionable else "open"


def _advised(analysis: Analysis, unit: _Unit) -> bool:
    """Whether advice that stays could be about this finding."""
    return any(
        index not in unit.whole and _ADVICE.search(words_of(analysis, index))
        for index in range(len(analysis.document.sentences))
    )


def _known(analysis: Analysis, unit: _Unit, index: int) -> bool:
    """Whether a sentence speaks of something that may be old, and so of another thing than the one acted on."""
    group = analysis.by_sentence[index]
    return all(weight_of(m) != unit.weight for m in group) and bool(HARMLESS.search(words_of(analysis, index)))


def _fits(analysis: Analysis, index: int, weight: str) -> bool:
    """Whether a sentence says nothing but what its mentions say. Of a finding that calls for action it may say more,
    which is lost with it."""
    group = analysis.by_sentence[index]
    if any(mention.polarity == ABSENT for mention in group):
        return False
    if weight != "benign":
        return len(PLACEHOLDER.findall(analysis.document.of(analysis.sentence(index)))) < 2
    if not analysis.clean(index):
        return False
    sentence = analysis.sentence(index)
    rest = list(words_of(analysis, index))
    for mention in group:
        for at in range(mention.low, mention.high):
            rest[at - sentence.start] = " "
    return _FRAME.sub("", "".join(rest)).strip() == ""


def _lost(
    analysis: Analysis, unit: _Unit, gone: frozenset[int], rng: random.Random
) -> tuple[tuple[Change, ...], tuple[int, int]] | None:
    """The changes that leave findings out, and the span of the first mention."""
    changes: list[Change] = []
    for listing in unit.listed.values():
        number = next(n for n, item in enumerate(listing.items) if item in unit.mentions)
        part = listing.without(analysis.document, number)
        if part is None:
            return None
        changes += part
    written: set[int] = set()
    for section, members in sections(analysis).items():
        if gone.issuperset(members):
            # An impression that would be left empty says that there is nothing, if that is so.
            if section != "impression" or not _nothing_else(analysis, unit) or analysis.sentence(members[0]).item:
                return None
            changes += exchanged(analysis, members[0], rng.choice(findings_table()["nothing"]["texts"]))
            written.update(members)
            for before, index in itertools.pairwise(members):
                changes.append(Change(analysis.sentence(before).end, analysis.sentence(index).end, ""))
    rest = all_dropped(analysis, gone - written)
    together = joined([*changes, *rest]) if rest is not None else None
    if together is None:
        return None
    mention = unit.first
    sentence = analysis.sentence(mention.sentence)
    if mention.sentence in written:
        first = next(c for c in together if c.start <= mention.start < max(c.end, c.start + 1))
        return together, (first.start, first.end)
    if mention.sentence in gone:
        return together, (sentence.start, sentence.end)
    return together, (mention.low, mention.high)


def _nothing_else(analysis: Analysis, unit: _Unit) -> bool:
    """Whether a report without these findings has nothing of note."""
    return all(
        i.concept in unit.concepts
        or all(weight_of(m) == "benign" for m in i.mentions)
        or (i.mentions[0].finding.device and i.safe)
        for i in analysis.instances
    ) and all(analysis.clean(index) for index in range(len(analysis.document.sentences)) if index not in unit.whole)


def _denied(
    analysis: Analysis, unit: _Unit, later: frozenset[int] | set[int], rng: random.Random
) -> tuple[tuple[Change, ...], tuple[int, int]] | None:
    """The changes that say a finding is not there: its first statement gives way to a denial, others go or follow."""
    table = findings_table()["denied"]
    told = [m.finding.concept for m in unit.mentions if weight_of(m) == unit.weight]
    texts = next((table[c] for c in told if c in table), None)
    if not texts or not all(unit.concepts <= relatives(c) for c in told):
        return None
    if unit.whole - {m.sentence for m in unit.mentions if m.finding.concept in told}:
        return None  # a sentence about something else would go unanswered
    first, *others = sorted(unit.whole)
    verb = re.search(r"\b(?:is|are|remains?|appears?)\b", words_of(analysis, first))
    texts = rng.sample(texts, len(texts))
    texts.sort(key=lambda text: bool(re.search(r"\b(?:is|are)\b", text)) != bool(verb))
    changes = list(exchanged(analysis, first, texts[0]))
    span = (changes[0].start, changes[0].end)
    members = sections(analysis)
    gone: set[int] = set(later)
    for index in others:
        section = members[analysis.sentence(index).section]
        alone = len(set(section) - {*others, *later, first}) == 0
        if alone and analysis.sentence(index).section == "impression" and index == section[0]:
            changes += exchanged(analysis, index, texts[1 % len(texts)])
        else:
            gone.add(index)
    rest = all_dropped(analysis, gone)
    together = joined([*changes, *rest]) if rest is not None else None
    return (together, span) if together else None


def _normals(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """Normal statements and denials that go without being missed."""
    found: list[Edit] = []
    document = analysis.document
    absent = denied(analysis)
    present = standing(analysis)
    lists = denials(analysis)
    rule = _RULE + "normal"
    for index, listing in lists.items():
        concepts = [item.finding.concept for item in listing.items]
        once = [len(absent[c]) == 1 and not relatives(c) & present for c in concepts]
        for number, item in enumerate(listing.items):
            blurred = number == 0 and item.value("degree")  # "no large effusion or pneumothorax"
            changes = listing.without(document, number) if once[number] and not blurred else None
            if changes:
                found.append(Edit(rule, changes, (item.low, item.high), frozenset({concepts[number]})))
        sentence = document.sentences[index]
        if listing.pure and all(once):
            whole = dropped(analysis, index)
            if whole and not leaned_on(analysis, [index]):
                span = (sentence.start, sentence.end)
                found.append(Edit(rule, whole, span, frozenset(concepts)))
    for normal in analysis.normals:
        index = normal.sentence
        if not normal.whole or not analysis.clean(index) or leaned_on(analysis, [index]):
            continue
        if any(m.polarity != ABSENT for m in analysis.by_sentence[index]):
            continue
        if _NOT_NORMAL.search(words_of(analysis, index)):
            continue
        twins = [n for n in analysis.normals if n is not normal and set(n.names) & set(normal.names)]
        changes = dropped(analysis, index) if not twins else None
        if changes:
            sentence = document.sentences[index]
            topics = frozenset(f"normal:{name}" for name in normal.names)
            found.append(Edit(rule, changes, (sentence.start, sentence.end), topics))
    yield from sorted(rng.sample(found, min(4, len(found))), key=lambda edit: edit.span)
