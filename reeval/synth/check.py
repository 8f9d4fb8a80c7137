"""The last look at a synthesised pair: whether the candidate now contradicts itself, and whether it is well-formed.

An error is wrong against the reference, not within the candidate: a report that says "large effusion" in its findings
and "no effusion" in its impression gives itself away. Only what the reference does not do already counts.
"""

import re
from collections.abc import Hashable

from reeval.pairs import Pair
from reeval.synth.analysis import Analysis, analyse
from reeval.synth.mentions import ABSENT, PRESENT
from reeval.synth.statements import Normal

_ILL_FORMED = re.compile(
    r"(?P<spaces>[^\s]  +\S)|(?P<stops>\.\s*\.)|(?P<comma>,\s*[.,;])|(?P<before> [,.;:](?!\d))"
    r"|(?P<twice>\b(?P<word>[a-z]+) (?P=word)\b)"
    r"|(?P<article>\b[Aa] (?=[aeio][a-z])|\b[Aa]n (?=[bcdfgjklmnpqrstvwxz][a-z]))"
    r"|(?P<small>[.!?] (?=[a-z]))|(?P<joint>[a-z]\.[A-Z][a-z])|(?P<braces>[{}])"
)


def contradictions(analysis: Analysis) -> set[Hashable]:
    """What a report asserts and denies at once, each as a key that two reports can share."""
    found: set[Hashable] = set()
    # "No large effusion" denies no small one.
    denied = {m.finding.concept for m in analysis.mentions if m.polarity == ABSENT and not m.slots}
    sides: dict[tuple[str, str], set[str]] = {}
    for mention in analysis.mentions:
        if mention.polarity != PRESENT:
            continue
        finding = mention.finding
        if finding.concept in denied:
            found.add(("denied", finding.concept))
        for normal in analysis.normals:
            # Lungs with a granuloma or some scarring are called clear, too.
            serious = finding.weight in ("urgent", "actionable") if normal.acute else finding.weight != "benign"
            if serious and normal.rules_out(finding) and not _reserved(analysis, normal):
                found.add(("normal", normal.names, finding.concept))
        if mention.value("side"):
            section = analysis.sentence(mention.sentence).section
            sides.setdefault((finding.concept, section), set()).add(mention.value("side"))
    for (concept, section), said in sides.items():
        for (other, elsewhere), said_there in sides.items():
            if concept == other and section < elsewhere and said_there and not said & said_there and "both" not in said:
                found.add(("sides", concept))
    return found


def _reserved(analysis: Analysis, normal: Normal) -> bool:
    """ "The lungs are otherwise clear": beside what was said."""
    return "otherwise" in analysis.document.of(analysis.sentence(normal.sentence)).lower()


def ill_formed(text: str) -> dict[str, int]:
    """How often each fault of form stands in a text; radiologists make them too, so compare with the reference."""
    counts: dict[str, int] = {}
    for match in _ILL_FORMED.finditer(text):
        name = str(match.lastgroup if match.lastgroup != "word" else "twice")
        counts[name] = counts.get(name, 0) + 1
    return counts


def faults(pair: Pair, before: Analysis) -> list[str]:
    """Why a synthesised pair should not be used; empty if it may. `before` is the reference's analysis.

    Each fault is a name without report text: "contradiction", "form: spaces", "span", "duplicate error".
    """
    found = []
    assert pair.errors is not None
    for error in pair.errors:
        if error.reference_span not in pair.reference or error.candidate_span not in pair.candidate:
            found.append("span")
        if not error.reference_span and error.type != "fabrication":
            found.append("span")
        if not error.candidate_span and error.type != "omission":
            found.append("span")
        if error.reference_span == error.candidate_span:
            found.append("span")
    if len(set(pair.errors)) < len(pair.errors):
        found.append("duplicate error")
    old, new = ill_formed(pair.reference), ill_formed(pair.candidate)
    typo = any(rule.startswith("wording.") for rule in pair.metadata["rules"])
    found += [f"form: {name}" for name, n in new.items() if n > old.get(name, 0) and not (typo and name == "article")]
    if "wording.fabrication.contradiction" not in pair.metadata["rules"]:
        after = analyse(pair.candidate)
        if contradictions(after) - contradictions(before):
            found.append("contradiction")
    return found
