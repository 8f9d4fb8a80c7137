"""finding.fabrication of denials that the report already makes, in narrower words: they agree with it and change
nothing, and bring the words of grave findings into harmless differences."""

import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth import terms, toml
from reeval.synth.analysis import Analysis
from reeval.synth.edit import Edit
from reeval.synth.injectors.passages import added, sections, terse
from reeval.synth.injectors.spaces import anchor_of, words_of
from reeval.synth.injectors.weights import relatives, standing
from reeval.synth.mentions import ABSENT, UNCLEAR
from reeval.synth.terms import Finding

_RULE = "finding.fabrication.normal"
# How many a report gives.
_MOST = 8
# And in how many words each, for the composer to take those that the set needs.
_NAMES = 3
_COUNTED = re.compile(r"\b(?:nodule|mass|lesion|fracture|deformity)\b")
# A statement of less than the whole.
_PARTIAL = re.compile(r"otherwise|\b(?:right|left|this|remaining|remainder)\b")


def _data() -> Mapping[str, Any]:
    return toml.table("injectors/repeated.toml")


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    names = [finding for finding in _data()["names"] if _denied(analysis, terms.findings()[finding])]
    if not names:
        return
    phrasings = _data()["phrasing"]["brief" if terse(analysis) else "full"]
    for name in rng.sample(names, min(len(names), _MOST)):
        finding = terms.findings()[name]
        places = [anchor_of(analysis, finding, finding.concept, set()), *(g[-1] for g in sections(analysis).values())]
        anchor = next((i for i in places if i is not None and not _near(analysis, finding, i)), None)
        if anchor is None:
            continue
        side, lobe = rng.choice(("left", "right")), rng.choice(("upper lobe", "lower lobe"))
        end = analysis.sentence(anchor).end
        known = _data()["names"][name]
        for chosen in rng.sample(known, min(len(known), _NAMES)):
            words = chosen.format(side=side, lobe=lobe)
            # "Evidence of" one of a kind would want an article.
            fitting = [p for p in phrasings if "evidence" not in p or not _COUNTED.search(words)]
            text = rng.choice(fitting).format(x=words, be="are" if words.endswith("s") else "is")
            yield Edit(_RULE, added(analysis, anchor, text), (end, end), frozenset({finding.concept}))


def _near(analysis: Analysis, finding: Finding, anchor: int) -> bool:
    """Whether a sentence beside the new one denies the same by name: nobody narrows what he has just said."""
    return any(
        mention.finding.concept == finding.concept
        for index in range(anchor - 1, anchor + 2)
        for mention in analysis.by_sentence.get(index, ())
    )


def _denied(analysis: Analysis, finding: Finding) -> bool:
    """Whether the report rules the finding out altogether: by name, or by calling its part of the body normal."""
    related = relatives(finding.concept)
    if related & standing(analysis):
        return False
    same_space = [m for m in analysis.mentions if m.finding.space == finding.space]
    if any(m.polarity != ABSENT for m in same_space if m.finding.weight != "benign" or m.polarity == UNCLEAR):
        return False
    if any(m.finding.concept == finding.concept and not m.slots for m in same_space):
        return True
    return any(
        n.rules_out(finding) and not _PARTIAL.search(words_of(analysis, n.sentence))
        for n in analysis.normals
        if not n.acute or finding.weight in ("urgent", "actionable")
    )
