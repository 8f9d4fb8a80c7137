"""finding.fabrication: a finding that the report denies or does not speak of, with what that changes in the
rest of the report."""

import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth import terms
from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Edit
from reeval.synth.injectors.answers import CLEAR, answer_to, may_lead, put_before
from reeval.synth.injectors.listings import Listing, denials
from reeval.synth.injectors.passages import added, all_dropped, exchanged, joined, leaned_on, sections, terse
from reeval.synth.injectors.spaces import anchor_of, unruled, words_of
from reeval.synth.injectors.weights import denied, findings_table, relatives, standing
from reeval.synth.mentions import ABSENT
from reeval.synth.terms import Finding

_RULE = "finding.fabrication."
# How many edits of a rule a report gives.
_MOST = {"urgent": 6, "actionable": 9, "benign": 6}


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    lists = denials(analysis)
    table = findings_table()
    brief = terse(analysis)
    given = dict.fromkeys(_MOST, 0)
    entries = rng.sample(table["added"], len(table["added"]))
    for entry in entries:
        rule = entry["rule"]
        if given[rule] < _MOST[rule]:
            besides = table["besides"].get(entry["finding"], []) if rule != "benign" else []
            # With and without something said of it besides: the composer takes the one that the set needs.
            made = [
                edit
                for beside in ("", *rng.sample(besides, min(len(besides), 2)))
                if (edit := _added(analysis, entry, beside, lists, rng, brief=brief))
            ]
            given[rule] += bool(made)
            yield from made


def _added(
    analysis: Analysis,
    entry: Mapping[str, Any],
    beside: str,
    lists: dict[int, Listing],
    rng: random.Random,
    *,
    brief: bool,
) -> Edit | None:
    finding = terms.findings()[entry["finding"]]
    concept = finding.concept
    groups = sections(analysis)
    if relatives(concept) & standing(analysis) or not groups:
        return None
    side = rng.choice(("left", "right"))
    fragment, full = (
        text.replace("{side}", side).replace("{Side}", side.capitalize()) for text in rng.choice(entry["texts"])
    )
    if "calcif" in beside and "calcif" in f"{fragment} {full}".lower():
        return None  # said already
    fragment = f"{fragment.rstrip('.')}{beside}."
    full = f"{full.rstrip('.')}{beside.replace(', no ', ' without ')}."
    text = fragment if brief else full
    rule = _RULE + entry["rule"]
    topics = frozenset({concept, *terms.concepts(beside)})
    if entry["rule"] == "benign":
        return _benign(analysis, finding, entry, text, lists)
    answered = answer_to(analysis, finding, fragment, beside=rng.random() < 0.7)
    removed = _unsaid(analysis, concept, lists)
    if answered is None or removed is None or not unruled(analysis, finding, {*answered.handled, *lists}):
        return None
    whole, parts = removed
    gone = {*answered.gone, *(whole - answered.handled)}
    in_place = sorted(i for i in gone if i in whole and analysis.sentence(i).section != "impression")
    if answered.told and "findings" not in groups:
        told: tuple[Change, ...] = ()  # the impression is all there is
        span = answered.told
    elif answered.clear is not None:
        told, at = put_before(analysis, answered.clear, text)
        span = (at, at)
    elif in_place:
        # A denial with a sentence of its own gives way to the finding.
        gone.discard(in_place[0])
        told = exchanged(analysis, in_place[0], text)
        span = (told[0].start, told[0].end)
    else:
        anchor = anchor_of(analysis, finding, concept, gone)
        if anchor is None or (analysis.sentence(anchor).item and _renumbered(analysis, anchor, gone)):
            return None
        told = added(analysis, anchor, text)
        span = (analysis.sentence(anchor).end, analysis.sentence(anchor).end)
    if leaned_on(analysis, gone):
        return None
    rest = all_dropped(analysis, gone)
    together = joined([*answered.changes, *parts, *told, *rest]) if rest is not None else None
    return Edit(rule, together, span, topics) if together else None


def _renumbered(analysis: Analysis, anchor: int, gone: set[int]) -> bool:
    """Whether items of the list that sentence `anchor` belongs to go, so that its numbers change twice."""
    section = analysis.sentence(anchor).section
    return any(analysis.sentence(i).item and analysis.sentence(i).section == section for i in gone)


def _unsaid(analysis: Analysis, concept: str, lists: dict[int, Listing]) -> tuple[set[int], list[Change]] | None:
    """What takes the denials of a concept away: sentences that go as a whole, and changes within others. None where
    one of them can't be taken away."""
    whole: set[int] = set()
    changes: list[Change] = []
    related = relatives(concept)
    for index in {m.sentence for m in denied(analysis).get(concept, ())}:
        listing = lists.get(index)
        if listing is None:
            return None
        mine = [n for n, item in enumerate(listing.items) if item.finding.concept == concept]
        if len(mine) == len(listing.items) and listing.pure:
            whole.add(index)
            continue
        if len(mine) != 1 or (mine[0] == 0 and listing.items[0].value("degree")):
            return None
        part = listing.without(analysis.document, mine[0])
        if part is None:
            return None
        changes += part
    if any(m.finding.concept in related and m.polarity != ABSENT for m in analysis.mentions):
        return None
    return whole, changes


def _benign(
    analysis: Analysis, finding: Finding, entry: Mapping[str, Any], text: str, lists: dict[int, Listing]
) -> Edit | None:
    """A finding of no consequence beside what the report says; nothing of that changes, but "clear" lungs are
    "otherwise clear"."""
    document = analysis.document
    rule, topics = _RULE + entry["rule"], frozenset({finding.concept})
    if finding.concept in analysis.concepts or re.search(entry["unless"], document.lower):
        return None
    handled = set(lists)
    otherwise: list[int] = []
    for index in range(len(document.sentences)):
        words = words_of(analysis, index)
        if "acute" in words and not re.search(r"\b(?:normal|intact|unremarkable)\b", words):
            handled.add(index)  # nothing acute
        clear = CLEAR.search(words)
        if finding.space == "lung" and clear and analysis.sentence(index).section != "other":
            otherwise.append(index)
            handled.add(index)
    if not unruled(analysis, finding, handled, benign=True):
        return None
    if otherwise:
        if len(otherwise) > 1 or not analysis.clean(otherwise[0]) or not may_lead(analysis, otherwise[0]):
            return None
        changes, at = put_before(analysis, otherwise[0], text)
        return Edit(rule, changes, (at, at), topics)
    anchor = anchor_of(analysis, finding, finding.concept, set())
    if anchor is None:
        return None
    end = analysis.sentence(anchor).end
    return Edit(rule, added(analysis, anchor, text), (end, end), topics)
