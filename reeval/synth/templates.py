"""Pairs from templates: reference reports, and candidates with edits whose severity is known by rule.

    for pair in templates.pairs("b", count=4000, seed=0): ...

Pair i depends on (family, seed, recipe, i) alone, byte for byte, so that workers can share the counting.
Three families are disjoint in sentences and synonyms: `a` for the embedded judge's training from scratch, `b`
for fine-tuning it, `c` for evaluation. They share the clinical vocabulary, as reports of all hospitals do.
"""

import dataclasses
import random
from collections.abc import Iterator

from reeval.pairs import Error, Pair
from reeval.synth import edits, phrases
from reeval.synth.sentences import Sentence, extend, pick

PER_REFERENCE = 2
# A sentence of the candidate (None: lost), and the edit that made it.
_Line = tuple[Sentence | None, edits.Edit | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """What a set of pairs is made of.

    sentences: least and most sentences of a reference.
    identical: share of the insignificant pairs whose candidate repeats the reference.
    edit_counts: relative shares of 1, 2, 3 ... edits in the other pairs.
    """

    sentences: tuple[int, int] = (2, 4)
    identical: float = 0.15
    edit_counts: tuple[float, ...] = (0.55, 0.3, 0.15)


DEFAULT = Recipe()


def pairs(family: str, count: int, seed: int, *, start: int = 0, recipe: Recipe = DEFAULT) -> Iterator[Pair]:
    """Pairs `start` to `start + count` of the endless sequence of this family and seed.

    Each reference report has two candidates, one significant and one insignificant, in random order. The
    metadata names the family and, as `places`, where in the candidate each error stands.
    """
    book = phrases.family(family)
    made: tuple[int, tuple[Pair, ...]] = (-1, ())
    for number in range(start, start + count):
        index = number // PER_REFERENCE
        if made[0] != index:
            made = (index, pairs_of_reference(book, seed, index, recipe))
        yield made[1][number % PER_REFERENCE]


def pairs_of_reference(family: phrases.Family, seed: int, index: int, recipe: Recipe) -> tuple[Pair, ...]:
    reference_id = f"{family.name}{seed}-{index:06d}"
    rng = random.Random(reference_id)
    low, high = recipe.sentences
    reference: list[Sentence] = []
    for _ in range(low + int(rng.random() * (high - low + 1))):
        reference.append(extend(rng, family, reference))
    labels = phrases.SEVERITIES if rng.random() < 0.5 else phrases.SEVERITIES[::-1]
    text = " ".join(sentence.text for sentence in reference)
    made = []
    for letter, label in zip("xy", labels, strict=True):
        candidate, errors, places = _candidate(rng, family, reference, label, recipe)
        metadata = {"family": family.name, "places": places}
        made.append(Pair(f"{reference_id}-{letter}", reference_id, text, candidate, errors, metadata))
    return tuple(made)


def _candidate(
    rng: random.Random, family: phrases.Family, reference: list[Sentence], label: str, recipe: Recipe
) -> tuple[str, tuple[Error, ...], list[list[int]]]:
    """A candidate's text, its errors in the order of the candidate (what was lost last), and their places."""
    lines: list[_Line] = [(sentence, None) for sentence in reference]
    severity = label
    same = label == "insignificant" and rng.random() < recipe.identical
    count = 0 if same else rng.choices(range(1, len(recipe.edit_counts) + 1), recipe.edit_counts)[0]
    # At most one edit a sentence; what does not fit into a short report is not made up for by additions.
    for _ in range(min(count, len(reference))):
        _edit(rng, family, lines, severity)
        severity = pick(rng, phrases.SEVERITIES) if label == "significant" else label
    found, at = [], 0
    for sentence, edit in lines:
        if edit is not None:
            found.append((edit.error, [at + edit.place[0], at + edit.place[1]]))
        at += 0 if sentence is None else len(sentence.text) + 1
    found.sort(key=lambda item: not item[0].candidate_span)
    text = " ".join(sentence.text for sentence, _ in lines if sentence is not None)
    return text, tuple(error for error, _ in found), [place for _, place in found]


def _edit(rng: random.Random, family: phrases.Family, lines: list[_Line], severity: str) -> None:
    """Make one edit of the severity, at most one a sentence; a full report takes a new sentence."""
    whole = sum(sentence is not None for sentence, _ in lines)
    for attempt in range(50):
        what = pick(rng, edits.MENU[severity]) if attempt < 40 else ("add", "")
        if what[0] == "add":
            present = [sentence for sentence, _ in lines if sentence is not None]
            made = edits.add(extend(rng, family, present), severity)
            if made:
                lines.insert(int(rng.random() * (len(lines) + 1)), (made.sentence, made))
                return
            continue
        if what[0] == "omit" and whole == 1:
            continue
        # Any sentence that offers this edit will do: taking the first edit that fits a random sentence
        # instead would make the rare ones rarer still.
        first = int(rng.random() * len(lines))
        for at in (*range(first, len(lines)), *range(first)):
            sentence, edit = lines[at]
            if edit is not None or sentence is None:
                continue
            made = edits.change(rng, family, sentence, what, severity)
            if made:
                lines[at] = (made.sentence, made)
                return
