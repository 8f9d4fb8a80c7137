"""A report read once for all that edit it: its sentences, what it mentions, what it calls normal, and which mentions
speak of one and the same thing."""

import dataclasses
from collections import defaultdict
from functools import cached_property

from reeval.synth import document as documents
from reeval.synth.document import PLACEHOLDER, Document, Sentence
from reeval.synth.mentions import ABSENT, UNCLEAR, Mention, follow_ups, mentions
from reeval.synth.statements import Normal, normals


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """One finding or device of the patient, with every mention of it that is not a denial.

    side, place: what its mentions say, "" where none does.
    safe: its mentions agree, none is unclear or hangs on a neighbour, and no other instance of its concept could be
        meant by one of them. What is not safe is not edited.
    denied: the report also denies its concept somewhere ("small effusion", "no large effusion").
    follow_ups: sentences that go on about it without naming it ("It measures 8 mm.").
    """

    concept: str
    mentions: tuple[Mention, ...]
    side: str
    place: str
    safe: bool
    denied: bool
    follow_ups: tuple[int, ...]

    @property
    def sentences(self) -> tuple[int, ...]:
        return tuple(sorted({mention.sentence for mention in self.mentions}))


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What is known of a report."""

    document: Document
    mentions: tuple[Mention, ...]
    normals: tuple[Normal, ...]

    @cached_property
    def by_sentence(self) -> dict[int, list[Mention]]:
        """Sentence -> its mentions; sentences without any have an empty list."""
        found: dict[int, list[Mention]] = {index: [] for index in range(len(self.document.sentences))}
        for mention in self.mentions:
            found[mention.sentence].append(mention)
        return found

    @cached_property
    def normal_of(self) -> dict[int, Normal]:
        return {normal.sentence: normal for normal in self.normals}

    def clean(self, index: int) -> bool:
        """Whether no placeholder stands in a sentence."""
        sentence = self.document.sentences[index]
        return not PLACEHOLDER.search(self.document.text, sentence.start, sentence.end)

    def sentence(self, index: int) -> Sentence:
        return self.document.sentences[index]

    @cached_property
    def concepts(self) -> frozenset[str]:
        """All concepts that the report speaks of, be it to deny them."""
        return frozenset(mention.finding.concept for mention in self.mentions)

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """The findings and devices of the patient, in the order of their first mention."""
        groups: dict[str, list[Mention]] = defaultdict(list)
        denied = {mention.finding.concept for mention in self.mentions if mention.polarity == ABSENT}
        for mention in self.mentions:
            if mention.polarity != ABSENT:
                groups[mention.finding.concept].append(mention)
        found = []
        for concept, group in groups.items():
            sides = {mention.value("side") for mention in group}
            if {"left", "right"} <= sides and "" not in sides and "both" not in sides:
                parts = [[m for m in group if m.value("side") == side] for side in ("left", "right")]
            else:
                parts = [group]
            found += [self._instance(concept, part, concept in denied) for part in parts]
        return tuple(sorted(found, key=lambda instance: instance.mentions[0].start))

    def _instance(self, concept: str, group: list[Mention], denied: bool) -> Instance:
        sides = {slot.value for mention in group for slot in mention.slots if slot.name == "side"}
        places = {slot.value for mention in group for slot in mention.slots if slot.name == "place"} - {"lung"}
        sections = [self.sentence(mention.sentence).section for mention in group]
        # Twice in one section are two things as likely as one.
        twice = (
            len({mention.sentence for mention in group}) > 1 and len(set(sections)) == 1 and len(sides | places) == 0
        )
        safe = (
            len(sides) <= 1
            and len(places) <= 1
            and not twice
            and all(mention.polarity != UNCLEAR and not mention.coordinated for mention in group)
        )
        later = {index for mention in group for index in follow_ups(self.document, mention.sentence)}
        return Instance(
            concept, tuple(group), next(iter(sides), ""), next(iter(places), ""), safe, denied, tuple(sorted(later))
        )


def analyse(text: str) -> Analysis:
    """Read a report."""
    document = documents.parse(text)
    return Analysis(document, mentions(document), normals(document))
