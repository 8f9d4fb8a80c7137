"""What a report says, as a multiset that does not depend on how it says it.

Two reports with equal facts are equal as far as this library reads them; harmless variation keeps them, and a writer's
candidate is checked against them. What no lexicon knows (a tip's position, advice) is not among them.
"""

import re
from collections import Counter
from decimal import Decimal

from reeval.synth.analysis import Analysis, analyse
from reeval.synth.mentions import ABSENT, UNCLEAR, Mention
from reeval.synth.variation.clauses import clause
from reeval.synth.variation.normals import overall, parsed
from reeval.synth.variation.normals import table as _table

Fact = tuple[str, ...]

_NOT_SEEN = re.compile(
    r"[^.;]{0,60}?\b(?:is|are) (?:not|neither) (?:\w+ )?(?:seen|noted|identified|present|visualized|appreciated|evident)"
)
# Names of one finding that mean the same.
_SAME = {"pleural_fluid": "pleural_effusion"}
_CORE = {"heart": ("heart",), "mediastinum": ("mediastinum",), "pulmonary vessels": ("vessels",), "bones": ("bones",),
         "lungs": ("lungs",), "pleura": ("pleura",), "abdomen": ("abdomen",), "soft tissues": ("soft tissues",)}  # fmt: skip


def facts(text: str) -> Counter[Fact]:
    """The facts of a report's text: ("finding", name, polarity, side, place, degree, size in mm, count, change,
    certainty, age) for each mention, ("normal", subject, "normal" or "stable") once for each subject, and
    ("normal", "whole", adjective, region) for a statement about the whole."""
    return of(analyse(text))


def of(analysis: Analysis) -> Counter[Fact]:
    """The facts of a report that was read already."""
    found: Counter[Fact] = Counter()
    normal: set[Fact] = set()
    for mention in analysis.mentions:
        fact = _fact(analysis, mention)
        if fact[1:3] == ("cardiomegaly", ABSENT):
            normal.add(("normal", "heart", "normal"))
        else:
            found[fact] += 1
    for index in range(len(analysis.document.sentences)):
        if analysis.sentence(index).section != "other":
            normal |= _normal(analysis, index)
    found.update(normal)
    return found


def _fact(analysis: Analysis, mention: Mention) -> Fact:
    lower = analysis.document.lower
    end = analysis.sentence(mention.sentence).end
    polarity = mention.polarity
    if polarity == UNCLEAR and _NOT_SEEN.match(lower, mention.high, end):
        polarity = ABSENT
    values = {
        name: "+".join(sorted({slot.value for slot in mention.slots if slot.name == name}))
        for name in ("side", "place", "degree", "size", "count", "change", "certainty", "age")
    }
    if polarity == ABSENT and values["side"] == "both":
        values["side"] = ""  # "no effusion on either side"
    values["place"] = "+".join(place for place in values["place"].split("+") if place != "lung")
    values["size"] = "+".join(sorted(_millimetres(lower[s.start : s.end]) for s in mention.slots if s.name == "size"))
    name = _SAME.get(mention.finding.name, mention.finding.name)
    return ("finding", name, polarity, *values.values())


def _millimetres(size: str) -> str:
    factor = 10 if re.search(r"cm|centi", size) else 1
    return " x ".join(
        f"{Decimal(number) * factor:f}".rstrip("0").rstrip(".") for number in re.findall(r"\d+(?:\.\d+)?", size)
    )


def _normal(analysis: Analysis, index: int) -> set[Fact]:
    words = clause(analysis.document, index).words
    whole = overall(words)
    if whole:
        return {("normal", "whole", *whole)}
    statement = parsed(words)
    if statement:
        subjects, _, predicate, _, _ = statement
        says = "stable" if predicate in ("stable", "unchanged") else "normal"
        return {
            ("normal", fact, says) for key in subjects for fact in _table("normals")["subjects"][key]["fact"].split("+")
        }
    core = analysis.normal_of.get(index)
    if core is None or re.search(r"\b(?:free|clear) (?:of|from)\b", words):
        return set()
    says = "stable" if re.search(r"\b(?:stable|unchanged)\b", words) else "normal"
    return {("normal", fact, says) for name in core.names for fact in _CORE.get(name, (name,))}
