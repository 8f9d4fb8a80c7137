"""finding.fabrication of normal statements: a denial that agrees with the report and that it does not make."""

import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth import terms
from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Edit
from reeval.synth.injectors.listings import Listing, denials
from reeval.synth.injectors.passages import added, terse
from reeval.synth.injectors.spaces import SPACES, anchor_of, words_of
from reeval.synth.injectors.weights import findings_table, relatives, standing

_RULE = "finding.fabrication.normal"
# How many a report gives.
_MOST = 3
# Said only where the words of the structure do not occur.
_SILENT = {"mediastinal_shift": "trachea", "widened_mediastinum": "widen", "rib_fracture": "rib", "free_air": "free"}


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    lists = denials(analysis)
    brief = terse(analysis)
    entries = findings_table()["normal"]
    given = 0
    for entry in rng.sample(entries, len(entries)):
        edit = _normal(analysis, entry, lists, rng, brief=brief) if given < _MOST else None
        if edit:
            given += 1
            yield edit


def _normal(
    analysis: Analysis, entry: Mapping[str, Any], lists: dict[int, Listing], rng: random.Random, *, brief: bool
) -> Edit | None:
    finding = terms.findings()[entry["finding"]]
    if relatives(finding.concept) & standing(analysis) or finding.concept in analysis.concepts:
        return None
    # A report about something in the same space may well mean this too.
    if any(i.mentions[0].finding.space == finding.space for i in analysis.instances):
        return None
    # Nor is it new where its structure is said to be normal.
    if any(finding.space in normal.spaces and "whole study" not in normal.names for normal in analysis.normals):
        return None
    if any(
        SPACES[finding.space].search(words_of(analysis, index)) and not analysis.clean(index)
        for index in range(len(analysis.document.sentences))
    ):
        return None
    topics = frozenset({finding.concept})
    joinable = [
        listing
        for listing in lists.values()
        if "item" in entry
        and len(listing.items) in (1, 2)
        and analysis.sentence(listing.sentence).section in ("findings", "")
        and re.match(r"\s*\.", analysis.document.text[listing.items[-1].high :])
        and not any(item.slots for item in listing.items)
    ]
    if joinable and rng.random() < 0.6:
        listing = rng.choice(joinable)
        end = listing.items[-1].high
        changes: tuple[Change, ...]
        if len(listing.items) == 1:
            changes = (Change(end, end, f" or {entry['item']}"),)
        else:
            low, high = listing.gaps[0]
            if not re.fullmatch(r"\s+or\s+", analysis.document.lower[low:high]):
                return None
            changes = (Change(low, high, ", "), Change(end, end, f" or {entry['item']}"))
        changes = tuple(Change(c.start, c.end, analysis.document.cased(c.new)) for c in changes)
        return Edit(_RULE, changes, (end, end), topics)
    if entry["finding"] in _SILENT and _SILENT[entry["finding"]] in analysis.document.lower:
        return None
    text: str = rng.choice(entry["brief" if brief else "full"])
    anchor = anchor_of(analysis, finding, finding.concept, set())
    if anchor is None:
        return None
    end = analysis.sentence(anchor).end
    return Edit(_RULE, added(analysis, anchor, text), (end, end), topics)
