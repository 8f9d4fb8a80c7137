"""Edits: one change of one sentence, with the error that it is.

Each function takes a sentence and the severity wanted and returns an `Edit`, or None where this sentence does
not offer it. The spans are the words that changed; the whole sentence where it was added, lost, denied or
rephrased; and for a side the words up to its finding, on which its severity hangs.
"""

import dataclasses
import random
from collections.abc import Callable

from reeval.pairs import Error
from reeval.synth.phrases import SEVERITIES, Family, lexicon
from reeval.synth.sentences import DENIABLE, Sentence, pick, render, restate, slot_of, span, weight, write


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """What stands in place of a sentence (None: nothing), the error, and its place in the new sentence."""

    sentence: Sentence | None
    error: Error
    place: tuple[int, int]


def _replaced(sentence: Sentence, name: str, value: str) -> Sentence:
    values = {**sentence.values, name: value}
    return dataclasses.replace(sentence, values=values, text=render(sentence.template, values))


def _changed(old: Sentence, new: Sentence, aspect: str, severity: str, *names: str) -> Edit:
    (a, b), (c, d) = span(old, *names), span(new, *names)
    return Edit(new, Error("inaccuracy", aspect, old.text[a:b], new.text[c:d], severity), (c, d))


def _rewritten(old: Sentence, new: Sentence, error: Error) -> Edit:
    return Edit(new, dataclasses.replace(error, reference_span=old.text, candidate_span=new.text), (0, len(new.text)))


def swap(rng: random.Random, sentence: Sentence, name: str, severity: str) -> Edit | None:
    """Another word in a clinical slot."""
    value = sentence.values.get(name)
    if not value or (name == "side" and weight(sentence) != severity):
        return None
    if name == "finding":
        aspect, swaps = lexicon().kinds[sentence.kind].finding, lexicon().finding_swaps
    else:
        slot = slot_of(sentence.kind, name, sentence.values.get("device", ""))
        aspect, swaps = slot.aspect, slot.swaps
    # A comparison or denial names a finding too, but there another name would be another statement.
    options = swaps[value][SEVERITIES.index(severity)] if aspect else ()
    if not options:
        return None
    names = ("side", "finding") if name == "side" else (name,)
    return _changed(sentence, _replaced(sentence, name, pick(rng, options)), aspect, severity, *names)


def detail(rng: random.Random, sentence: Sentence, name: str, severity: str) -> Edit | None:
    """An adjective lost or, where the reference has none, added."""
    if name not in sentence.template.droppable:
        return None
    slot = slot_of(sentence.kind, name)
    old = sentence.values[name]
    new = "" if old else pick(rng, slot.words)
    dropped = slot.dropped.get(slot.level[old or new])
    # With a degree the finding weighs otherwise than without: a side is judged on the sentence as it was.
    if (weight(sentence) if dropped == "finding" else dropped) != severity:
        return None
    other = _replaced(sentence, name, new)
    a, b = span(sentence if old else other, name)
    if old:
        return Edit(other, Error("omission", slot.aspect, sentence.text[a:b], "", severity), (a, a))
    return Edit(other, Error("fabrication", slot.aspect, "", other.text[a:b], severity), (a, b))


def omit(rng: random.Random, sentence: Sentence, severity: str) -> Edit | None:
    """The sentence is lost."""
    if weight(sentence) != severity:
        return None
    return Edit(None, Error("omission", lexicon().kinds[sentence.kind].sentence, sentence.text, "", severity), (0, 0))


def add(sentence: Sentence, severity: str) -> Edit | None:
    """The sentence is new."""
    if weight(sentence) != severity:
        return None
    aspect = lexicon().kinds[sentence.kind].sentence
    return Edit(sentence, Error("fabrication", aspect, "", sentence.text, severity), (0, len(sentence.text)))


def deny(rng: random.Random, family: Family, sentence: Sentence, severity: str) -> Edit | None:
    """A finding is denied, or a denied one asserted."""
    if sentence.kind in DENIABLE:
        if weight(sentence) != severity:
            return None
        other, kind = write(rng, family, "negative", sentence.finding), "omission"
    elif sentence.kind == "negative":
        (name,) = [kind for kind in DENIABLE if sentence.finding in lexicon().findings[kind]]
        other, kind = write(rng, family, name, sentence.finding), "fabrication"
        if weight(other) != severity:
            return None
    else:
        return None
    return _rewritten(sentence, other, Error(kind, "finding", severity=severity))


def reword(rng: random.Random, family: Family, sentence: Sentence) -> Edit | None:
    """One word gives way to a synonym."""
    if not sentence.template.words:
        return None
    name = pick(rng, sentence.template.words)
    options = [word for word in family.words[name] if word != sentence.values[name]]
    return _changed(sentence, _replaced(sentence, name, pick(rng, options)), "wording", "insignificant", name)


def rephrase(rng: random.Random, family: Family, sentence: Sentence) -> Edit | None:
    """The same content in another sentence."""
    if sentence.kind in ("normal", "technique") or "" in sentence.values.values():
        return None
    template = pick(rng, family.templates[sentence.kind])
    if template.text == sentence.template.text:
        return None
    other = restate(rng, family, template, sentence.values, sentence.finding)
    return _rewritten(sentence, other, Error("inaccuracy", "wording", severity="insignificant"))


# How often each edit is tried. Both severities draw on the same menu, so that the kind of an edit does not
# give its severity away; only a change of wording has no significant counterpart.
_SWAPS = {
    "degree": 4, "side": 5, "zone": 4, "size": 5, "number": 4, "position": 4, "change": 5, "certainty": 5,
    "finding": 3, "diagnosis": 3, "action": 3, "when": 3,
}  # fmt: skip
_DETAILS = {"degree": 3, "side": 3, "certainty": 3}
_MENU = (
    [("swap", name) for name, times in _SWAPS.items() for _ in range(times)]
    + [("detail", name) for name, times in _DETAILS.items() for _ in range(times)]
    + [("omit", "")] * 5
    + [("add", "")] * 5
    + [("deny", "")] * 3
)
MENU: dict[str, list[tuple[str, str]]] = {
    "significant": _MENU,
    "insignificant": _MENU + [("reword", "")] * 6 + [("rephrase", "")] * 6,
}


def change(rng: random.Random, family: Family, sentence: Sentence, what: tuple[str, str], severity: str) -> Edit | None:
    """The edit of that name of the menu, `add` excepted, which needs a report and no sentence."""
    operation, name = what
    if operation == "swap":
        return swap(rng, sentence, name, severity)
    if operation == "detail":
        return detail(rng, sentence, name, severity)
    if operation == "omit":
        return omit(rng, sentence, severity)
    if operation == "deny":
        return deny(rng, family, sentence, severity)
    rewrite: Callable[..., Edit | None] = reword if operation == "reword" else rephrase
    return rewrite(rng, family, sentence)
