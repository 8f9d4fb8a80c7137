"""Headings in another style, and sections as a list or as prose."""

import itertools
import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Variation

_HEADING = re.compile(r"^[ \t]*(findings|impressions?|conclusions?|opinion)[ \t]*:", re.IGNORECASE | re.MULTILINE)
# Words to the reader, and lines with a heading of their own, are no items of a list.
_UNLISTED = re.compile(r"\b(?:opportunity|questions|dictated|certified|discussed|notified|thank)\b|:")
_NAMES = {
    "findings": ["findings"],
    "impression": ["impression", "conclusion"],
    "conclusion": ["impression", "conclusion"],
}


def variations(analysis: Analysis, rng: random.Random) -> Iterator[Variation]:
    """Headings in another style; a section's sentences as a numbered or dashed list, and a list as prose."""
    document = analysis.document
    for match in _HEADING.finditer(document.text):
        old = match[1]
        others = _NAMES.get(old.lower(), ["impression"])
        names = [form for name in others for form in (name.upper(), name.capitalize())]
        names = [name for name in names if name != old and not (document.capitals and not name.isupper())]
        if names and rng.random() < 0.7:
            yield Variation("heading", (Change(match.start(1), match.end(1), rng.choice(names)),))
    sections: dict[str, list[int]] = {}
    for index, sentence in enumerate(document.sentences):
        sections.setdefault(sentence.section, []).append(index)
    for section, indices in sections.items():
        if section == "other" or indices[-1] - indices[0] != len(indices) - 1:
            continue
        changes = _listed(analysis, indices, rng) or _prose(analysis, indices)
        if changes and rng.random() < 0.7:
            yield Variation("layout", changes)


def _listed(analysis: Analysis, indices: list[int], rng: random.Random) -> tuple[Change, ...]:
    """Prose as a list."""
    document = analysis.document
    sentences = [document.sentences[index] for index in indices]
    if any(sentence.item or sentence.heading for sentence in sentences) or not 2 <= len(sentences) <= 9:
        return ()
    if any(_UNLISTED.search(document.lower, sentence.start, sentence.end) for sentence in sentences):
        return ()
    style = rng.choice(["{n}. ", "- ", "{n}. ", "* "])
    changes = []
    at = sentences[0].start
    while at and document.text[at - 1] in " \t\n":
        at -= 1
    if at == sentences[0].start:
        return ()  # nothing parts it from its heading, or nothing stands before it
    for number, sentence in enumerate(sentences, start=1):
        low = at if number == 1 else sentences[number - 2].end
        if number > 1 and (
            document.text[low - 1] not in ".!?" or document.text[low : sentence.start].strip() or low == sentence.start
        ):
            return ()
        changes.append(Change(low, sentence.start, "\n" + style.format(n=number)))
    return tuple(changes)


def _prose(analysis: Analysis, indices: list[int]) -> tuple[Change, ...]:
    """A numbered or dashed list as prose."""
    document = analysis.document
    sentences = [document.sentences[index] for index in indices]
    if not sentences[0].item or any(sentence.heading for sentence in sentences):
        return ()
    changes = []
    for one, other in itertools.pairwise(sentences):
        stop = "" if document.text[one.end - 1] in ".!?" else "."
        gap = document.text[one.end : other.start]
        if other.item:
            if not re.fullmatch(r"\s+(?:[-*•]|\(?\d{1,2}[.)])\s*", gap):
                return ()
            changes.append(Change(one.end, other.start, f"{stop} "))
    before = re.search(r"(?:[-*•]|\(?\d{1,2}[.)])[ \t]*$", document.text[: sentences[0].start])
    if not before:
        return ()
    return (Change(before.start(), sentences[0].start, ""), *changes)
