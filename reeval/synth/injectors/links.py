"""Readings and what they hang on: "right basilar opacity, which may represent atelectasis or pneumonia"."""

import dataclasses
import functools
import re
from collections.abc import Iterator

from reeval.synth import toml
from reeval.synth.analysis import Analysis
from reeval.synth.mentions import ABSENT, PRESENT, Mention

_BETWEEN = re.compile(
    r"\s+(?:(?:an?|the|some|areas? of|underlying|developing|early|adjacent|associated|superimposed|either|changes of"
    r"|prior|previous|chronic|old|a component of|sequela of|residual|atypical|a process such as)\s+)*"
)
_JOINT = re.compile(
    r"\s*(?:,?\s*\b(?P<word>and/or|or|and|versus|vs\.?)\b|/|,)\s*(?:(?:an?|the|some|possibly|early|developing)\b\s*)?"
)
_LEAD = re.compile(r"\s*,?\s*(?:\b(?:which|that|and)\s+)?(?:\b(?P<be>is|are|appears?|remains?)\s+)?$")
_STOP = re.compile(r"\s*(?P<mark>[.;]|$|,)")
_PRONOUN = re.compile(
    r"(?:this|these|it|they|(?:the |these |this )?(?:findings?|changes?|appearances?|constellation[a-z ]*))"
    r"\s*(?:is|are|appears?)?\s*$"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A reading of a report and the words that hang it on its description.

    lead: where its clause begins, the comma or "which is" before it included; start, end: its words of certainty.
    first: where the reading begins, articles included; last: where it ends.
    level: "may", "suggest", "likely", "consistent" or "definite". form, verb: see links.toml.
    members: the findings that it names. joints: the words that join them, "" for a comma or stroke.
    subject: what it reads; None for "this" and "findings". plural: the subject's number.
    main: whether it is the sentence's own verb, without "which". closed: whether the sentence or clause ends with it.
    """

    sentence: int
    lead: int
    start: int
    end: int
    first: int
    last: int
    level: str
    form: str
    verb: str
    members: tuple[Mention, ...]
    joints: tuple[str, ...]
    subject: Mention | None
    plural: bool
    main: bool
    closed: bool


@functools.cache
def _forms() -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    forms = toml.table("injectors/links.toml")["forms"]
    return tuple((form["name"], form["level"], re.compile(rf"\b{form['pattern']}(?=\s)")) for form in forms)


@functools.cache
def _any() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{re.sub(r'[(][?]P<verb>', '(?:', form.pattern)})" for _, _, form in _forms()))


def links(analysis: Analysis) -> tuple[Link, ...]:
    """All readings of a report that stand in sentences without placeholders and that the lexicon knows."""
    found = []
    for index in range(len(analysis.document.sentences)):
        if analysis.by_sentence[index] and analysis.clean(index) and analysis.sentence(index).section != "other":
            found += list(_of_sentence(analysis, index))
    return tuple(found)


def _of_sentence(analysis: Analysis, index: int) -> Iterator[Link]:
    lower = analysis.document.lower
    sentence = analysis.sentence(index)
    start, end = sentence.start, sentence.end
    at = start
    while match := _any().search(lower, at, end):
        at = match.end()
        link = _read(analysis, index, start, end, match.start())
        if link:
            at = link.last
            yield link


def _read(analysis: Analysis, index: int, start: int, end: int, at: int) -> Link | None:
    lower = analysis.document.lower
    form, level, match = next((f, v, m) for f, v, p in _forms() if (m := p.match(lower, at, end)))
    members, joints, last = _members(analysis, index, match.end(), end)
    if not members or any(member.polarity == ABSENT for _, member in members):
        return None
    if re.search(r"\b(?:no|not|without|to|un)\s*(?:\w+\s+)?$", lower[start:at][-16:]):
        return None
    lead = _LEAD.search(lower, start, at)
    assert lead is not None
    relative = re.search(r"\b(?:which|that)\b|,", lead[0]) is not None
    before = lower[start : lead.start()]
    pronoun = _PRONOUN.fullmatch(lower[start:at].strip()) is not None
    subjects = [m for m in analysis.by_sentence[index] if m.end <= lead.start() and m.polarity == PRESENT]
    subject = subjects[-1] if subjects else None
    if form == "apposition" and ("," not in lead[0] or subject is None):
        return None
    if not pronoun and subject is None:
        return None
    if subject and not pronoun and re.search(r"[;:]|,.*,|\bno\b|\bwithout\b|\bif\b", lower[subject.end : at]):
        return None
    word = before.split()[0] if before.split() else ""
    plural = subject.plural if subject and not pronoun else word in ("these", "they", "findings", "changes")
    plural = plural or (pronoun and re.search(r"(?:findings|changes)", lower[start:at]) is not None)
    stop = _STOP.match(lower, last, end)
    closed = stop is not None and (stop["mark"] != "," or not _JOINT.match(lower, last, end))
    main = (
        form in ("modal", "verb", "adverb")
        and not relative
        and not (match.groupdict().get("verb") or "").endswith("ing")
    )
    main = main or bool(lead["be"] and not relative)
    return Link(
        index, lead.start(), match.start(), match.end(), members[0][0], last, level, form,
        match.groupdict().get("verb") or "", tuple(m for _, m in members), joints, None if pronoun else subject, plural,
        main, closed or (stop is not None and stop["mark"] == ";"),
    )  # fmt: skip


def begin(mention: Mention, after: int) -> int:
    """Where a mention's words begin behind an offset: "likely" of ", likely left base atelectasis" is the link's."""
    if mention.low > after:
        return mention.low
    slots = [slot.start for slot in mention.slots if slot.start > after and slot.end <= mention.start]
    own = mention.slot("certainty")
    return min([*slots, mention.start]) if own and own.end == after else mention.low


def _members(
    analysis: Analysis, index: int, at: int, end: int
) -> tuple[list[tuple[int, Mention]], tuple[str, ...], int]:
    lower = analysis.document.lower
    found: list[tuple[int, Mention]] = []
    joints: list[str] = []
    into = _BETWEEN.match(lower, at, end)
    first = at + 1
    here = into.end() if into else at + 1
    while True:
        fits = [m for m in analysis.by_sentence[index] if at < begin(m, at) <= here <= m.start]
        if not fits:
            return found, tuple(joints[: max(len(found) - 1, 0)]), at
        found.append((first, fits[0]))
        at = fits[0].high
        joint = _JOINT.match(lower, at, end)
        if not joint:
            return found, tuple(joints), at
        joints.append(joint["word"] or "")
        first = here = joint.end()
        at = joint.start()
