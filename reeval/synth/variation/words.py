"""Words that mean the same, by the table `words.toml`, and sizes in the other unit."""

import functools
import random
import re
from collections.abc import Iterator
from decimal import Decimal

from reeval.synth.analysis import Analysis
from reeval.synth.document import PLACEHOLDER
from reeval.synth.edit import Change, Variation, fitted
from reeval.synth.variation.clauses import table

_SIZE = re.compile(r"(?<![\d.x])(\d{1,3}(?:\.\d)?)((?: ?(?:x|by) ?)\d{1,3}(?:\.\d)?)?( ?-?)(mm|cm)\b(?!\s*(?:x|by)\b)")
# "Right" is a side only before a finding or device; elsewhere it is part of a name ("right atrium").
_SIDED = re.compile(
    r" (?:pleural )?(?:effusion|pneumothorax|chest tube|picc|port|pacemaker|central (?:line|venous catheter)|infiltrate"
    r"|airspace disease|atelectasis|rib fracture)"
)

# The forms, the variation's kind, and what must not stand before and after.
_Group = tuple[list[str], str, re.Pattern[str] | None, re.Pattern[str] | None]


@functools.cache
def _groups() -> tuple[re.Pattern[str], dict[str, _Group]]:
    by_form: dict[str, _Group] = {}
    for group in table("words")["group"]:
        before = re.compile(rf"(?:{group['before']})$") if "before" in group else None
        after = re.compile(group["after"]) if "after" in group else None
        for form in group.get("read", group["forms"]):
            by_form.setdefault(form.lower(), (group["forms"], group.get("kind", "synonym"), before, after))
    for side in ("left", "right"):
        by_form[side] = (
            [f"{side}-sided"],
            "synonym",
            re.compile(r"(?:and|or|to|lateral|from|of the) $"),
            re.compile(rf"(?!{_SIDED.pattern})"),
        )
    forms = "|".join(sorted(map(re.escape, by_form), key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{forms})(?![\w-])"), by_form


def variations(analysis: Analysis, rng: random.Random) -> Iterator[Variation]:
    """One word or phrase of a sentence exchanged for another that means the same."""
    document = analysis.document
    lower = document.lower.replace("\n", " ")
    pattern, by_form = _groups()
    for sentence in document.sentences:
        if sentence.section == "other":
            continue
        for match in pattern.finditer(lower, sentence.start, sentence.end):
            forms, kind, before, after = by_form[match[0]]
            if PLACEHOLDER.search(
                document.text, max(sentence.start, match.start() - 12), min(sentence.end, match.end() + 12)
            ):
                continue
            if before and before.search(lower, sentence.start, match.start()):
                continue
            if after and after.match(lower, match.end(), sentence.end):
                continue
            new = rng.choice([form for form in forms if form.lower() != match[0]])
            if _article(lower, match.start(), match[0], new):
                continue
            new = fitted(document, match.start(), new)
            yield Variation(kind, (Change(match.start(), match.end(), new),))
        yield from _sizes(analysis, lower, sentence.start, sentence.end)


def _article(lower: str, start: int, old: str, new: str) -> bool:
    """Whether "a" or "an" before the place would have to change with it."""
    return re.search(r"\ban? $", lower[max(0, start - 4) : start]) is not None and (
        (old[0] in "aeiou") != (new[0] in "aeiouLRNS" if new[:2].isupper() else new[0] in "aeiou")
    )


def _sizes(analysis: Analysis, lower: str, start: int, end: int) -> Iterator[Variation]:
    document = analysis.document
    for match in _SIZE.finditer(lower, start, end):
        first, second, gap, unit = match.groups()
        factor, other = (Decimal(10), "mm") if unit == "cm" else (Decimal("0.1"), "cm")
        parts = [first, *([re.sub(r"[^\d.]", "", second)] if second else [])]
        if unit == "mm" and any(Decimal(part) < 5 or "." in part for part in parts):
            continue
        converted = [f"{(Decimal(part) * factor).normalize():f}" for part in parts]
        if unit == "cm" and any(Decimal(part) > 150 for part in converted):
            continue
        joint = re.sub(r"[\d.]", "", second) if second else ""
        new = joint.join(converted) + gap + other
        yield Variation("unit", (Change(match.start(), match.end(), document.cased(new)),))
