"""Certainty of denials: "no definite" for "no" and the reverse, and what "cannot be excluded" in place of a denial."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Edit, replaced_sentence
from reeval.synth.english import capital, indefinite
from reeval.synth.mentions import ABSENT

_NO = re.compile(r"\bno (?P<definite>definite )?(?P<evidence>(?:\w+ )?evidence (?:of|for) )?")
_LOOSE = re.compile(r"\b(?:overt|gross|obvious|frank|suspicious|large|convincing|significant|acute|definite|visible)\b")


def edits(analysis: Analysis, rng: random.Random, data: Mapping[str, Any]) -> Iterator[Edit]:
    """Edits of sentences that deny; data: the table `denial` of `certainty.toml`."""
    yield from _denied(analysis)
    yield from _not_excluded(analysis, rng, data)


def _denied(analysis: Analysis) -> Iterator[Edit]:
    """ "No definite" for "no" and the reverse, where the report denies these findings only here."""
    document = analysis.document
    often = Counter(m.finding.concept for m in analysis.mentions)
    for index, sentence in enumerate(document.sentences):
        mentions = analysis.by_sentence[index]
        if not mentions or not all(m.polarity == ABSENT and m.clean for m in mentions):
            continue
        if any(often[m.finding.concept] > 1 for m in mentions) or _twice(document.lower[sentence.start : sentence.end]):
            continue
        cues = re.findall(r"\b(?:no|without|nor|not)\b", document.lower[sentence.start : sentence.end])
        match = _NO.search(document.lower, sentence.start, sentence.end)
        if len(cues) != 1 or not match or (match.end() != mentions[0].low and not match["definite"]):
            continue
        low, high = match.start(), mentions[0].end
        topics = frozenset(m.finding.concept for m in mentions)
        if match["definite"]:
            at = match.start("definite")
            yield Edit("certainty.omission.probable", (Change(at, match.end("definite"), ""),), (low, high), topics)
        elif not _LOOSE.match(document.lower, mentions[0].low) and not mentions[0].slot("degree"):
            at = match.start() + 3
            new = document.cased("definite ")
            yield Edit("certainty.fabrication.probable", (Change(at, at, new),), (low, high), topics)


def _twice(text: str) -> bool:
    """Whether "definite" stands elsewhere than behind "no"."""
    return re.search(r"(?<!no )\bdefinite\b", text) is not None


def _not_excluded(analysis: Analysis, rng: random.Random, data: Mapping[str, Any]) -> Iterator[Edit]:
    """A plain denial of one or two findings, one of which "cannot be excluded" instead."""
    document = analysis.document
    often = Counter(m.finding.concept for m in analysis.mentions)
    for index, sentence in enumerate(document.sentences):
        mentions = analysis.by_sentence[index]
        if not 1 <= len(mentions) <= 2 or not all(m.polarity == ABSENT and m.clean and not m.slots for m in mentions):
            continue
        text = " ".join(document.lower[sentence.start : sentence.end].split())
        match = re.fullmatch(data["pattern"], text)
        if (
            not match
            or _LOOSE.search(text)
            or [match["one"], match["two"]][: len(mentions)]
            != [" ".join(document.lower[m.low : m.end].split()) for m in mentions]
        ):
            continue
        options = [m for m in mentions if m.finding.name in data["names"] and often[m.finding.concept] == 1]
        options = [m for m in options if not any(n.rules_out(m.finding) for n in analysis.normals)]
        if not options:
            continue
        mention = rng.choice(options)
        doubt = str(rng.choice(data["doubts"]))
        name = mention.finding.singular[0]
        doubt = doubt.format(np=name if mention.finding.mass else f"{indefinite(name)} {name}")
        kept = [m for m in mentions if m is not mention]
        doubt = capital(doubt)
        new = f"{doubt}." if not kept else f"No {document.lower[kept[0].low : kept[0].end]}. {doubt}."
        changes = replaced_sentence(document, index, new)
        topics = frozenset(m.finding.concept for m in mentions)
        # Few of them: the words of this doubt stand nowhere else, and would tell the severity.
        if rng.random() < 0.12:
            yield Edit("certainty.fabrication.doubtful", changes, (sentence.start, sentence.end), topics)
