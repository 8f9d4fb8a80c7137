"""Wrong verdicts made of right ones: severities flipped, errors invented, errors dropped.

Each is a verdict in the format, with quotes that stand in the reports, and changes what the pair counts as in D or R
where that is possible: it is that boundary which preferences are to sharpen.
"""

import dataclasses
import difflib
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from reeval.pairs import Error, Pair
from reeval.verdicts import Verdict

# The point of a decimal ends none.
_SENTENCE = re.compile(r"(?:[^.;\n]|(?<=\d)\.(?=\d))+")
# Sentences that have as much in common say about the same.
_ALIKE = 0.5


class Wrong(NamedTuple):
    """A wrong verdict, and what was done to make it; None instead where it cannot be made."""

    verdict: Verdict
    made_by: dict[str, Any]


class Cells:
    """Types and aspects of a file's gold errors, as often as they are there."""

    def __init__(self, pairs: Sequence[Pair]):
        self._aspects: dict[str, list[str]] = {}
        for pair in pairs:
            for error in pair.errors or ():
                self._aspects.setdefault(error.type, []).append(error.aspect)

    def sided(self, spans: tuple[str, str], rng: random.Random) -> tuple[str, str]:
        """Of words reworded without harm one side or both, so that their error is of a type as often as one is here."""
        types = list(self._aspects) or ["inaccuracy"]
        type = rng.choices(types, [len(self._aspects.get(name, "?")) for name in types])[0]
        return {"omission": (spans[0], ""), "fabrication": ("", spans[1])}.get(type, spans)

    def aspect(self, type: str, rng: random.Random) -> str:
        """One of those that errors of the type have here, by their frequency; `finding` where none has any."""
        return rng.choice(self._aspects.get(type, ["finding"]))


def flipped(pair: Pair, rng: random.Random, cells: Cells) -> Wrong | None:
    """Of a significant pair all significant errors called insignificant; of another one or more the other way."""
    errors = list(pair.errors or ())
    if not errors:
        return None
    if pair.significant:
        chosen = [n for n, error in enumerate(errors) if error.significant]
    else:
        chosen = sorted(rng.sample(range(len(errors)), rng.randint(1, len(errors))))
    for n in chosen:
        errors[n] = dataclasses.replace(errors[n], severity="insignificant" if pair.significant else "significant")
    return Wrong(Verdict(tuple(errors)), {"flipped": chosen})


def dropped(pair: Pair, rng: random.Random, cells: Cells) -> Wrong | None:
    """Of a significant pair without its significant errors; of another without one of its errors."""
    errors = list(pair.errors or ())
    if not errors:
        return None
    if pair.significant:
        chosen = [n for n, error in enumerate(errors) if error.significant]
    else:
        chosen = [rng.randrange(len(errors))]
    left = tuple(error for n, error in enumerate(errors) if n not in chosen)
    return Wrong(Verdict(left), {"dropped": chosen})


def invented(pair: Pair, rng: random.Random, cells: Cells) -> Wrong | None:
    """With an error more, of words that differ without harm if there are any: a significant one where none is."""
    errors = list(pair.errors or ())
    spans = _harmless(pair, rng)
    if spans is None:
        return None
    if all(spans):
        spans = cells.sided(spans, rng)
    if not all(spans):  # a lone sentence is quoted with its full stop, or the stop would tell who quotes it
        spans = _stopped(pair.reference, spans[0]), _stopped(pair.candidate, spans[1])
    reference, candidate = spans
    type = "inaccuracy" if reference and candidate else "fabrication" if candidate else "omission"
    severity = rng.choice(["significant", "insignificant"]) if pair.significant else "significant"
    made = Error(type, cells.aspect(type, rng), reference, candidate, severity)
    # In the candidate's order, omissions last.
    places = [_place(pair, error) for error in errors]
    at = sum(place <= _place(pair, made) for place in places)
    errors.insert(at, made)
    return Wrong(Verdict(tuple(errors)), {"invented": at})


KINDS: dict[str, Callable[[Pair, random.Random, Cells], Wrong | None]] = {
    "severity": flipped,
    "invented": invented,
    "dropped": dropped,
}


def _harmless(pair: Pair, rng: random.Random) -> tuple[str, str] | None:
    """Words of both reports that no gold error speaks of: reworded ones, or else a sentence of one of the two."""
    here, there = (_sentences(text) for text in (pair.reference, pair.candidate))
    spoken = [(e.reference_span, e.candidate_span) for e in pair.errors or ()]
    here = [s for s in here if not any(a and (a in s or s in a) for a, _ in spoken)]
    there = [s for s in there if not any(b and (b in s or s in b) for _, b in spoken)]
    said = {s.casefold() for s in here}
    reworded = []
    for sentence in there:
        if sentence.casefold() not in said:
            near = difflib.get_close_matches(sentence, here, n=1, cutoff=_ALIKE)
            reworded += [(one, sentence) for one in near]
    plain = [(s, "") for s in here] + [("", s) for s in there]
    options = reworded or plain
    return rng.choice(options) if options else None


def _sentences(text: str) -> list[str]:
    return [found for match in _SENTENCE.finditer(text) if len((found := match[0].strip()).split()) > 1]


def _stopped(report: str, sentence: str) -> str:
    return f"{sentence}." if sentence and f"{sentence}." in report else sentence


def _place(pair: Pair, error: Error) -> int:
    return pair.candidate.find(error.candidate_span) if error.candidate_span else len(pair.candidate)
