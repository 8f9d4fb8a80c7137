"""Which devices a report has: inert ones lost, others added, and one kind named for another."""

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Edit, added_sentence, dropped_sentence
from reeval.synth.injectors.nounphrase import exchanged, near_placeholder
from reeval.synth.mentions import PRESENT, Mention

_NOTED = re.compile(
    r"\b(?:fractur\w*|broken|disrupt\w*|discontin\w*|displac\w*|malposition\w*|new|interval|placed|placement|removed|removal"
    r"|compared|cardiomegaly|enlarged|normal|consistent|suggest\w*|represent\w*|status post|tip|tips|recommend\w*)\b"
)
# What continues the sentence before it.
_GOES_ON = re.compile(
    r"(?:this|these|it|they|however|otherwise|there (?:is|are) also|also|both|other|no other|additional|similar"
    r"|the (?:tip|finding))"
)
_WORDS = {
    "sternotomy wires": r"sternotom|sternal|cabg|bypass",
    "clips": r"\bclips?\b",
    "pacemaker": r"pacemaker|pacer|\bicd\b|defibrillator|\bleads?\b|generator|cardiac device",
    "valve": r"valv|prosthe",
    "stent": r"stent",
    "hardware": r"hardware|fusion",
}


def edits(analysis: Analysis, rng: random.Random, data: Mapping[str, Any]) -> Iterator[Edit]:
    """Edits of presence and kind; data: the tables of `device.toml`."""
    names: dict[str, list[Mention]] = defaultdict(list)
    for mention in analysis.mentions:
        if mention.finding.device:
            names[mention.finding.name].append(mention)
    for name, mentions in names.items():
        if all(m.polarity == PRESENT and not near_placeholder(analysis.document, m.low, m.high) for m in mentions):
            yield from _lost(analysis, name, mentions)
            yield from _renamed(analysis, mentions, data, rng)
    yield from _added(analysis, data, rng)


def _lost(analysis: Analysis, name: str, mentions: list[Mention]) -> Iterator[Edit]:
    """A device that calls for nothing, and every sentence on it; they speak of nothing else."""
    document = analysis.document
    if name not in _WORDS:
        return
    places = sorted({m.sentence for m in mentions})
    said = {document.index(match.start()) for match in re.finditer(_WORDS[name], document.lower)}
    if said != set(places) or len(places) > 2:
        return
    changes = []
    for index in places:
        text = document.of(analysis.sentence(index)).lower()
        others = [m for m in analysis.by_sentence[index] if m.finding.name != name]
        if others or _NOTED.search(text) or len(text.split()) > 14 or index in analysis.normal_of:
            return
        if re.search(r"[,;]| and (?!ventric|right vent|the right vent|intact)", text) or not analysis.clean(index):
            return
        gone = dropped_sentence(document, index)
        if gone is None:
            return
        changes += list(gone)
    changes.sort()
    if any(a.end > b.start for a, b in itertools.pairwise(changes)):
        return
    sentence = analysis.sentence(places[0])
    concept = mentions[0].finding.concept
    yield Edit("device.omission.inert", tuple(changes), (sentence.start, sentence.end), frozenset({concept}))


def _renamed(
    analysis: Analysis, mentions: list[Mention], data: Mapping[str, Any], rng: random.Random
) -> Iterator[Edit]:
    """A device named as another, in all its mentions."""
    document = analysis.document
    concept = mentions[0].finding.concept
    kin = [m for m in analysis.mentions if m.finding.device and m.finding.concept == concept]
    if len(kin) != len(mentions):
        return
    words = {" ".join(document.lower[m.start : m.end].split()) for m in mentions}
    followed = any(re.match(r"\s+(?:catheter|line|tube|lead)", document.lower[m.end :]) for m in mentions)
    topics = frozenset({concept})
    texts = [document.of(analysis.sentence(m.sentence)).lower() for m in mentions]
    if concept == "drain" and _named_elsewhere(analysis, mentions, concept):
        return
    if words <= set(data["same"]) and not followed and len({data["same"][word][0] for word in words}) == 1:
        new = rng.choice(data["same"][min(words)])
        # An approach or another tube's name must not stand elsewhere in the report.
        stem = new.lower().split()[0]
        elsewhere = re.search(rf"\b{re.escape(stem)}\b", document.lower) and stem not in ("central", "surgical")
        # Where the tip lies may fit one approach only.
        if not elsewhere and not any(re.search(r"clavic|clavian vein|jugular vein", text) for text in texts):
            changes = tuple(exchanged(document, m.start, m.end, new) for m in mentions)
            low = min(mentions[0].low, changes[0].start)
            yield Edit("device.inaccuracy.same-care", changes, (low, mentions[0].end), topics)
    if concept not in data["other"] or any(m.plural for m in mentions) or followed:
        return
    if _named_elsewhere(analysis, mentions, concept):
        return
    if any(re.search(data["other"]["tied"], text.replace(word, "")) for text in texts for word in words):
        return
    options = [new for new in data["other"][concept] if new not in " ".join(texts)]
    options = [new for new in options if new.split()[0] not in document.lower] or options
    if options and all(len(analysis.by_sentence[m.sentence]) == 1 for m in mentions):
        new = rng.choice(options)
        changes = tuple(exchanged(document, m.start, m.end, new) for m in mentions)
        low = min(mentions[0].low, changes[0].start)
        yield Edit("device.inaccuracy.purpose", changes, (low, mentions[0].end), topics)


# Words that a kind of device goes by, be they unknown to the lexicon.
_NAMES = {
    "venous": r"\bpicc\b|\blines?\b(?! of)|catheter|\bport\b|venous access",
    "drain": r"drain|pigtail|thoracosto|chest tube|pleural (?:\w+ )?(?:catheter|tube)",
    "cardiac": r"pacemaker|pacer|\bicd\b|defibrillator|\bleads?\b|generator|cardiac device",
    "enteric": r"gastric tube|enteric|\b[no]g\b|feeding|dobhoff",
    "airway": r"\bett?\b|endotracheal|intubat|extubat|tracheosto",
}


def _named_elsewhere(analysis: Analysis, mentions: list[Mention], concept: str) -> bool:
    """Whether the report speaks of such a device outside these mentions."""
    return any(
        not any(m.start <= match.start() and match.end() <= m.end for m in mentions)
        for match in re.finditer(_NAMES.get(concept, "(?!)"), analysis.document.lower)
    )


# Tubes and lines have words of their own, which nothing harmless adds: few of them, or the words tell the severity.
_SPARED = 0.9


def _added(analysis: Analysis, data: Mapping[str, Any], rng: random.Random) -> Iterator[Edit]:
    """A device that the report does not have, told behind its findings."""
    document = analysis.document
    sections = [s.section for s in document.sentences]
    wanted = "findings" if "findings" in sections else ""
    places = [i for i, section in enumerate(sections) if section == wanted]
    if not places or re.search(r"\bno (?:\w+ )?(?:lines?|tubes?|devices?|hardware)\b", document.lower):
        return
    listed = any(document.sentences[i].item for i in places)
    free = [i for i in places if i == places[-1] or not _GOES_ON.match(document.of(document.sentences[i + 1]).lower())]
    for entry in data["added"]:
        if re.search(entry["unless"], document.lower):
            continue
        if entry["rule"] == "misplaced" and rng.random() < _SPARED:
            continue
        side = rng.choice(["left", "right"])
        new = str(rng.choice(entry["sentences"])).format(side=side, Side=side.capitalize())
        at = places[-1] if listed else rng.choice(free)
        changes = added_sentence(document, at, new)
        end = document.sentences[at].end
        yield Edit(
            f"device.fabrication.{entry['rule']}", changes, (end, end), frozenset({"device", f"added:{entry['rule']}"})
        )
