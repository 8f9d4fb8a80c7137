"""What a report says, as a multiset that does not depend on how it says it.

Two reports with equal facts are equal as far as this library reads them; harmless variation keeps them, and a writer's
candidate is checked against them. What no lexicon knows (a tip's position, advice) is not among them.
"""

import re
from collections import Counter
from decimal import Decimal

from reeval.synth.analysis import Analysis, analyse
from reeval.synth.mentions import ABSENT, PRESENT, UNCLEAR, Mention
from reeval.synth.variation.clauses import clause, table
from reeval.synth.variation.normals import several
from reeval.synth.variation.overall import overall, trailing

Fact = tuple[str, ...]

_NOT_SEEN = re.compile(
    r"[^.;]{0,60}?\b(?:is|are) not (?:\w+ )?(?:seen|noted|identified|present|visualized|appreciated|evident)"
)
# Names of one finding that mean the same.
_SAME = {"pleural_fluid": "pleural_effusion"}
# Forms that the lexicon does not know, written as it does.
_SPELLINGS = [
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"\bcardio[- ]mediastinal", "cardiomediastinal"),
        (r"\bair[- ]space", "airspace"),
        (r"\bvisualised", "visualized"),
        (r"\bT-spine", "thoracic spine"),
        (r"\bon both sides", "bilaterally"),
        (r"\bminimally enlarged", "slightly enlarged"),
        (r"\bneither a left nor a right\b", "no left or right"),
        (r"\belevation of the (left|right) hemidiaphragm", r"\1 hemidiaphragm elevation"),
        (r"\belevated (left|right) hemidiaphragm", r"\1 elevated hemidiaphragm"),
        (r"\bblunting of the (left|right) costophrenic angle", r"\1 costophrenic angle blunting"),
    )
]
# What a statement says, where it is not that its subject is normal.
_SAYS = {"stable": "stable", "unchanged": "stable", "upper": "upper"}
# Names of `normal.toml` whose facts have another name here.
_CORE = {"pulmonary vessels": "vessels"}


def facts(text: str) -> Counter[Fact]:
    """The facts of a report's text: ("finding", name, polarity, side, place, degree, size in mm, count, change,
    certainty, age) for each mention, ("normal", subject, "normal" or "stable") once for each subject, and
    ("normal", "whole", adjective, region) for a statement about the whole."""
    text = re.sub(r"(?<![.:!?\s-])\n(?=[a-z])", " ", text)  # a sentence broken over lines
    for pattern, plain in _SPELLINGS:
        text = pattern.sub(plain, text)
    return _of(analyse(text))


def _of(analysis: Analysis) -> Counter[Fact]:
    found: Counter[Fact] = Counter()
    normal: set[Fact] = set()
    for mention in analysis.mentions:
        fact = _fact(analysis, mention)
        trachea = (
            fact[1:3] == ("mediastinal_shift", ABSENT)
            and "trache" in analysis.document.lower[mention.low : mention.high]
        )
        if fact[1:3] == ("cardiomegaly", ABSENT) or trachea:
            normal.add(("normal", "trachea" if trachea else "heart", "normal"))
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
    words = lower[mention.low : mention.high]
    if not values["side"] and re.search(r"\b(?:both|either|bilateral(?:ly)?)\b", words + _sides(lower, mention.high)):
        values["side"] = "both"
    # "No effusion on either side"; the lungs are two.
    if values["side"] == "both" and (polarity == ABSENT or mention.finding.name in ("hyperinflation", "low_volumes")):
        values["side"] = ""
    values["place"] = "+".join(place for place in values["place"].split("+") if place != "lung")
    if mention.finding.name in ("tortuous_aorta", "elevated_hemidiaphragm"):
        values["place"] = ""  # "thoracic" is the aorta's name, and the diaphragm its own place
    values["size"] = "+".join(sorted(_millimetres(lower[s.start : s.end]) for s in mention.slots if s.name == "size"))
    name = _SAME.get(mention.finding.name, mention.finding.name)
    if name == "rib_fracture" and values["age"] == "chronic":
        name, values["age"] = "old_fracture", ""
    if name == "nodule" and re.search(r"\bcalcified\b", words):
        name = "calcified_nodule"
    return ("finding", name, polarity, *values.values())


def _sides(lower: str, at: int) -> str:
    """What is said of the sides right behind a phrase."""
    match = re.match(r",?(?: (?:is|are))?(?: (?:seen|noted|present|identified))? bilaterally\b", lower[at:])
    return match[0] if match else ""


def _millimetres(size: str) -> str:
    factor = 10 if re.search(r"cm|centi", size) else 1
    return " x ".join(f"{(Decimal(n) * factor).normalize():f}" for n in re.findall(r"\d+(?:\.\d+)?", size))


def _normal(analysis: Analysis, index: int) -> set[Fact]:
    words = clause(analysis.document, index).words
    whole = overall(words) or trailing(words)
    if whole is not None:
        return {("normal", "whole", *whole)}
    statements = several(words) or several(re.split(r",? (?:and )?(?:without|with no)\b", words)[0])
    if statements:
        return {
            ("normal", fact, _SAYS.get(predicate, "normal"))
            for subjects, _, predicate, _, _ in statements
            for key in subjects
            for fact in table("normals")["subjects"][key]["fact"].split("+")
        }
    core = analysis.normal_of.get(index)
    if core is None or re.search(r"\b(?:free|clear) (?:of|from)\b", words):
        return set()
    says = "stable" if re.search(r"\b(?:stable|unchanged)\b", words) else "normal"
    present = [mention for mention in analysis.by_sentence[index] if mention.polarity == PRESENT]
    spoken = {mention.finding.space for mention in present} | ({"mediastinum"} if present else set())
    # "Enlarged heart, stable" calls no heart normal.
    return {
        ("normal", _CORE.get(name, name), says)
        for name in core.names
        if name not in spoken and (core.whole or name != "whole study")
    }
