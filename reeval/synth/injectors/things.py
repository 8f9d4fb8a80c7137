"""The things that a report speaks of: instances that are one and the same abnormality under several names, and whether
a difference in one of their attributes would matter.

"Right basilar opacity." and, in the impression, "Right lower lobe pneumonia." are two concepts and one thing: a side
that changes in one must change in the other.
"""

import dataclasses
import re
from collections.abc import Iterable

from reeval.synth.analysis import Analysis, Instance
from reeval.synth.document import Document
from reeval.synth.edit import Change, Edit
from reeval.synth.injectors.rewording import merged, near_placeholder
from reeval.synth.mentions import DOUBTFUL, Mention, Slot

ACT, BENIGN, OPEN = "act", "benign", "open"

# Lung concepts that are a state of both lungs rather than a thing in a place.
_STATES = {"low_volumes", "hyperinflation", "copd"}
# What blunts an angle, so that the two are one thing.
_BLUNTS = {"pleural_effusion", "pleural_thickening"}
_MAYBE_NOTHING = re.compile(
    r"\b(?:nipple|telemetry|electrodes?|artifact\w*|artefact\w*|summation|overlap\w*|superimpos\w*|confluence|callus"
    r"|skin fold|shadows?|external|sternotomy|screws?|hardware|wires?|cartilage|costochondral|costicartilage|healed"
    r"|healing|azygos|thymus|degenerative|osteophyt\w*|overlay|(?:granuloma|calcif)\w*)\b"
)
_NOT_CALCIFIED = re.compile(
    r"\b(?:not (?:\w+ )?calcified|non-? ?calcified|uncalcified|without (?:\w+ )*calcifi\w+|no (?:\w+ )*calcifi\w+)"
)
_COMPARED = re.compile(
    r"\b(?:greater|larger|more|worse|less|lesser|smaller|bigger|increased|decreased)\s+(?:than|on|in|at|prominent\w*)\b"
    r"|\b(?:left|right)\s*[<>]|\bl\s*[<>]\s*r\b|\br\s*[<>]\s*l\b|\basymmetric\w*|\bcontralateral|\bopposite|\bipsilateral"
)

# What may stand before a noun phrase to which a word of degree is put.
_OPENING = re.compile(
    r"(?:^|\b(?:is|are|was|were|an?|the|with|shows?|has|demonstrates?|have|this|these|also|again|in|noted|there)\s|[.:;]\s)\s*$"
)


@dataclasses.dataclass(frozen=True)
class Thing:
    """Instances that are one abnormality or device, and their mentions in order.

    weight: ACT where it calls for action, BENIGN where it calls for none, OPEN where the rules do not say.
    safe: all its instances are safe, and the report denies none of its concepts.
    """

    instances: tuple[Instance, ...]
    mentions: tuple[Mention, ...]
    weight: str
    safe: bool

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(instance.concept for instance in self.instances)

    @property
    def head(self) -> Mention:
        return self.mentions[0]

    @property
    def device(self) -> bool:
        return self.head.finding.device

    def slots(self, name: str) -> list[tuple[Mention, Slot]]:
        """Its words of one kind, each with the mention that it belongs to."""
        return [(mention, slot) for mention in self.mentions for slot in mention.slots if slot.name == name]

    def values(self, name: str) -> set[str]:
        return {slot.value for _, slot in self.slots(name)}

    @property
    def sentences(self) -> list[int]:
        """The sentences that speak of it, those that go on about it included."""
        found = {mention.sentence for mention in self.mentions}
        return sorted(found.union(*(instance.follow_ups for instance in self.instances)))


def things(analysis: Analysis) -> list[Thing]:
    """All things of a report."""
    instances = analysis.instances
    group = list(range(len(instances)))
    for i, one in enumerate(instances):
        for j in range(i):
            if group[i] != group[j] and _linked(analysis, one, instances[j]):
                group = [group[j] if g == group[i] else g for g in group]
    found = []
    for number in dict.fromkeys(group):
        members = tuple(instance for instance, g in zip(instances, group, strict=True) if g == number)
        mentions = tuple(sorted((m for instance in members for m in instance.mentions), key=lambda m: m.start))
        safe = all(instance.safe and not instance.denied for instance in members)
        found.append(Thing(members, mentions, _weight(analysis.document, mentions), safe))
    return found


def _linked(analysis: Analysis, one: Instance, other: Instance) -> bool:
    """Whether two instances may be one thing: a finding of the lung and what it is read as, in one sentence or in
    findings and impression."""
    if one.concept == other.concept or {one.concept, other.concept} & _STATES:
        return False
    if "blunting" in (one.concept, other.concept) and {one.concept, other.concept} & _BLUNTS:
        return one.side == other.side or "both" in (one.side, other.side) or "" in (one.side, other.side)
    a, b = one.mentions[0].finding, other.mentions[0].finding
    if a.space not in ("lung", "heart") or b.space not in ("lung", "heart") or "heart_size" in (
        one.concept, other.concept,
    ):  # fmt: skip
        return False
    for m in one.mentions:
        for n in other.mentions:
            if m.sentence == n.sentence and (
                m.reading or n.reading or (m.polarity == DOUBTFUL) or (n.polarity == DOUBTFUL)
            ):
                return True
    sections = [{analysis.sentence(m.sentence).section for m in instance.mentions} for instance in (one, other)]
    apart = not sections[0] & sections[1] or "" in sections[0] | sections[1]
    sides = one.side == other.side or "" in (one.side, other.side)
    return apart and sides


def _weight(document: Document, mentions: tuple[Mention, ...]) -> str:
    weights = {_mention_weight(document, mention) for mention in mentions}
    if all(mention.finding.device for mention in mentions):
        return OPEN
    concepts = {mention.finding.concept for mention in mentions}
    lumps = concepts & {"nodule", "mass", "malignancy", "cavity"}
    if ACT in weights:
        if lumps or "fracture" in concepts:
            sentences = {mention.sentence for mention in mentions}
            text = " ".join(
                document.lower[document.sentences[i].start : document.sentences[i].end] for i in sorted(sentences)
            )
            if BENIGN in weights or _MAYBE_NOTHING.search(_NOT_CALCIFIED.sub("", text)):
                return OPEN
        return ACT
    if weights == {BENIGN}:
        return BENIGN
    # An opacity that is read as nothing but atelectasis or a scar.
    if "opacity" in concepts and weights == {OPEN, BENIGN}:
        rest = {_mention_weight(document, m) for m in mentions if m.finding.concept != "opacity"}
        return BENIGN if rest == {BENIGN} else OPEN
    return OPEN


def _mention_weight(document: Document, mention: Mention) -> str:
    finding = mention.finding
    phrase = document.lower[mention.low : mention.high]
    weight = finding.weight
    if weight == "degree":
        degrees = {slot.value for slot in mention.slots if slot.name == "degree"}
        if degrees and degrees <= {"trace", "minimal"}:
            return BENIGN
        return ACT if degrees and degrees <= {"moderate", "moderate_to_large", "large"} else OPEN
    if finding.concept in ("nodule", "mass") and "calcif" in phrase:
        if "partially" in phrase:
            return OPEN
        return ACT if _NOT_CALCIFIED.search(phrase) else BENIGN
    if weight in ("urgent", "actionable"):
        if mention.value("age") == "chronic":
            return BENIGN if finding.concept == "fracture" else OPEN
        if mention.value("degree") in ("trace", "minimal") and finding.space == "lung" and not finding.measured:
            return OPEN
        return ACT
    return BENIGN if weight == "benign" else OPEN


def compared(analysis: Analysis, thing: Thing) -> bool:
    """Whether a sentence about it sets one part against another ("right greater than left")."""
    document = analysis.document
    return any(
        _COMPARED.search(document.lower, document.sentences[i].start, document.sentences[i].end)
        for i in thing.sentences
    )


def said(analysis: Analysis, thing: Thing, pattern: re.Pattern[str]) -> bool:
    """Whether a sentence about it has words of a pattern (for lower case)."""
    document = analysis.document
    return any(
        pattern.search(document.lower, document.sentences[i].start, document.sentences[i].end) for i in thing.sentences
    )


def not_acute(analysis: Analysis) -> bool:
    """Whether the report says that nothing acute is there, which an urgent finding would contradict."""
    return (
        any(normal.acute for normal in analysis.normals)
        or re.search(r"\b(?:no|without|nothing) (?:\w+ ){0,3}(?:acute|active)\b", analysis.document.lower) is not None
    )


def claimed(analysis: Analysis, start: int) -> bool:
    """Whether the word at `start` belongs to the phrase of a mention."""
    return any(slot.start <= start < slot.end for mention in analysis.mentions for slot in mention.slots) or any(
        mention.start <= start < mention.end for mention in analysis.mentions
    )


def opening(analysis: Analysis, mention: Mention, behind: Iterable[str]) -> int | None:
    """Where a word that describes it can be put: before its phrase, behind the words of certain slots that begin it.
    None where an unknown adjective or a list stands before."""
    document = analysis.document
    at = mention.low
    for slot in mention.slots:
        if slot.start == at and slot.end <= mention.start and slot.name in set(behind):
            at = slot.end
            while at < mention.start and document.text[at] in " ,":
                at += 1
    if at > mention.start or not document.text[at].isalnum():
        return None
    sentence = analysis.sentence(mention.sentence)
    return at if _OPENING.search(document.lower[sentence.start : mention.low]) else None


def span_of(
    mention: Mention, slot: Slot | None = None, start: int | None = None, end: int | None = None
) -> tuple[int, int]:
    """From an attribute to the name of its finding; the attribute alone where the two are far apart."""
    low = min(mention.start, slot.start if slot else mention.start, mention.start if start is None else start)
    high = max(mention.end, slot.end if slot else mention.end, mention.end if end is None else end)
    if slot and slot.start > mention.end:  # the whole site: "in the right lower lobe"
        for other in mention.slots:
            if other.name == "place" and high < other.start <= high + 12:
                high = other.end
    if slot and high - low > 70:
        return slot.start if start is None else start, slot.end if end is None else end
    return low, high


def made(analysis: Analysis, rule: str, thing: Thing, changes: list[Change], span: tuple[int, int]) -> list[Edit]:
    """The edit in a list; an empty one where its changes meet, stand by a placeholder or miss the span."""
    found = merged(changes)
    if found is None or any(near_placeholder(analysis.document, c.start, c.end) for c in found):
        return []
    low, high = span
    inside = any(low <= c.start and c.end <= high for c in found)
    return [Edit(rule, found, span, thing.topics)] if inside else []
