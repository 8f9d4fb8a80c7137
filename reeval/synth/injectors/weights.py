"""What the coming or going of a finding means, and which findings could be one and the same thing on the film."""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis, Instance
from reeval.synth.mentions import ABSENT, Mention

_SMALL = {"trace", "minimal"}
_LARGE = {"moderate", "moderate_to_large", "large"}

# Words that say that there may be nothing to act on, or that it is known.
HARMLESS = re.compile(
    r"\b(?:nipple|calcif\w*|shadows?|artifact\w*|granulom\w*|overl\w+|summation|old|healed|remote|chronic|prior|previous\w*"
    r"|known|again|comparison|compared|redemonstrat\w+|stable|unchanged|similar"
    r"|less likely|unlikely|exclude[ds]?|rule|if|resol\w+"
    r"|clear\w*|heal\w*|improv\w+|decreas\w+|treated"
    r"|catheter|line|lead|wires?|fat|normal|no|not|without|free|limited|density|tissue|ankle|knee|hip|femur|evaluation)\b"
)


def findings_table() -> Mapping[str, Any]:
    """The data of `findings.toml`."""
    return toml.table("injectors/findings.toml")


def weight_of(mention: Mention) -> str:
    """ "urgent", "actionable", "benign" or "open" of one mention by its words."""
    weight = mention.finding.weight
    if weight == "degree":
        degree = mention.value("degree")
        return "benign" if degree in _SMALL else "actionable" if degree in _LARGE else "open"
    if mention.finding.concept == "fracture" and mention.value("age") == "chronic":
        return "benign"
    return weight


def weight_of_instance(instance: Instance) -> str:
    """The weight that all its mentions agree on; "open" where the rules do not say, or where they differ."""
    found = {weight_of(mention) for mention in instance.mentions}
    if instance.mentions[0].finding.weight == "degree":
        found -= {"open"}  # one mention gives the degree, another not
    if len(found) != 1:
        return "open"
    weight = found.pop()
    known = any(m.value("change") in ("stable", "better", "resolved") or m.value("age") for m in instance.mentions)
    # Whether a known nodule may go unsaid is not settled.
    return "open" if known and weight in ("urgent", "actionable") else weight


@functools.cache
def relatives(concept: str) -> frozenset[str]:
    """Concepts that could mean the same thing as this one, itself among them."""
    groups = [set(entry["concepts"]) for entry in findings_table()["related"]]
    return frozenset({concept}.union(*(group for group in groups if concept in group)))


def standing(analysis: Analysis, without: Iterable[Instance] = ()) -> frozenset[str]:
    """Concepts that the report asserts or doubts, those of some instances left out."""
    left_out = {id(instance) for instance in without}
    return frozenset(i.concept for i in analysis.instances if id(i) not in left_out)


def denied(analysis: Analysis) -> dict[str, list[Mention]]:
    """Concept -> its denials."""
    found: dict[str, list[Mention]] = {}
    for mention in analysis.mentions:
        if mention.polarity == ABSENT:
            found.setdefault(mention.finding.concept, []).append(mention)
    return found
