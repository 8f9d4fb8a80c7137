"""Words of a phrase exchanged, taken out or put in, with the article before them and the capital of a sentence kept
right."""

import itertools
import re

from reeval.synth.document import PLACEHOLDER, Document
from reeval.synth.edit import Change, dropped_words, replaced
from reeval.synth.english import capital, indefinite

_ARTICLE = re.compile(r"(?<![\w-])(an?)[ \t]+$", re.IGNORECASE)


def article(document: Document, at: int, following: str) -> list[Change]:
    """The change of "a" or "an" before `at`, where the words that follow it now need the other."""
    match = _ARTICLE.search(document.text, max(0, at - 8), at)
    if not match or not following:
        return []
    old, right = match[1], indefinite(following.lower())
    right = document.cased(right if old.islower() else right.capitalize())
    return [] if right == old else [Change(match.start(1), match.end(1), right)]


def swapped(document: Document, start: int, end: int, new: str) -> list[Change]:
    """text[start:end] replaced, with a capital where it had one."""
    if document.text[start].isupper():
        new = capital(new)
    return [*article(document, start, new), replaced(document, start, end, new)]


def removed(document: Document, start: int, end: int) -> list[Change]:
    """A word or phrase taken out."""
    text = document.text
    following = text[end:].lstrip(" \t,")
    within = re.search(r"[a-z,]\s+$", text[max(0, start - 8) : start]) is not None  # "small T-spine osteophytes"
    if text[start].isdigit() and following[:1].islower() and document.begins(start):
        at = text.index(following[0], end)  # the first word behind a number that began the sentence
        return [Change(start, at + 1, following[0].upper())]
    if text[start].isupper() and following[:1].islower() and not document.capitals and not within:
        return [Change(start, text.index(following[0], end) + 1, following[0].upper())]
    return [*article(document, start, following), dropped_words(document, start, end)]


def inserted(document: Document, at: int, new: str) -> list[Change]:
    """Words put in before the word at `at`; where that was the first of its sentence, it gives its capital away."""
    text = document.text
    if document.capitals:
        return [*article(document, at, new), Change(at, at, new.upper() + " ")]
    first = document.begins(at)
    if first and text[at].isupper():
        word = re.match(r"[\w-]*", text[at:])
        assert word
        # A name, an acronym or a numeral keeps its capitals.
        lower = text[at].lower() if word[0][1:].islower() or len(word[0]) == 1 else text[at]
        return [Change(at, at + 1, f"{new[0].upper()}{new[1:]} {lower}")]
    return [*article(document, at, new), Change(at, at, new + " ")]


def appended(document: Document, at: int, new: str) -> list[Change]:
    """Words put in behind the word that ends at `at`."""
    return [Change(at, at, " " + document.cased(new))]


def near_placeholder(document: Document, start: int, end: int) -> bool:
    """Whether a placeholder stands within about three words of text[start:end]."""
    return any(
        PLACEHOLDER.search(piece)
        for piece in (
            " ".join(document.text[max(0, start - 40) : start].split(" ")[-4:]),
            document.text[start:end],
            " ".join(document.text[end : end + 40].split(" ")[:4]),
        )
    )


def merged(changes: list[Change]) -> tuple[Change, ...] | None:
    """Changes in order, each once; None where two of them meet."""
    found = sorted(set(changes))
    if not found or any(a.end > b.start or a.start == b.start for a, b in itertools.pairwise(found)):
        return None
    return tuple(found)
