"""Words put before, taken from and exchanged within a noun phrase: the article, the capital and the space follow."""

import re

from reeval.synth.document import PLACEHOLDER, Document
from reeval.synth.edit import Change
from reeval.synth.english import capital, indefinite
from reeval.synth.mentions import Mention

_ARTICLE = re.compile(r"\b(an?)[ \t]+$", re.IGNORECASE)
# What may stand before a phrase that takes a further word in front: nothing that could itself belong to it.
_FREE = re.compile(
    r"(?:^|[.;:,(]|\b(?:a|an|is|are|was|were|with|and|shows?|demonstrates?|has|have|also|in|are noted|by"
    r"|there's|suggests?|bilaterally))\s*$"
)
_SEEN = re.compile(
    r"\s*(?:(?:is|are)\s+)?(?:(?:again\s+)?(?:present|noted|seen|identified|demonstrated|visualized))?\s*\.?"
)
_END = re.compile(r"\s*(?:[.;]|$)")


def exchanged(document: Document, start: int, end: int, new: str) -> Change:
    """text[start:end] replaced by words in lower case, or removed with the space after it where `new` is empty."""
    text = document.text
    if not new:
        while end < len(text) and text[end] in " \t":
            end += 1
        if text[end : end + 1] == "\n" and start and text[start - 1] in " \t":
            end += 1  # a line that was broken here goes on
    if _first(document, start) and not text[start].islower() and not document.capitals:
        if not new:
            return Change(start, end + 1, text[end].upper())
        return Change(start, end, capital(new))
    found = _ARTICLE.search(text, max(0, start - 4), start)
    new = document.cased(new)
    if found:
        right = indefinite((new or text[end:]).lstrip().lower())
        right = document.cased(right.capitalize() if found[1][0].isupper() else right)
        if right != found[1]:
            space = text[found.end(1) : start]
            return Change(found.start(1), end, f"{right}{space}{new}")
    return Change(start, end, new)


def _first(document: Document, at: int) -> bool:
    """Whether a sentence begins here, or what stands behind a colon."""
    return document.begins(at) or bool(re.search(r":\s*$", document.text[max(0, at - 4) : at]))


def prefixed(document: Document, at: int, word: str) -> Change:
    """A word put before the phrase that begins at `at`."""
    text = document.text
    change = exchanged(document, at, at, f"{word} ")
    initial = re.match(r"[A-Z][a-z]+(?![A-Z])", text[at:])
    if _first(document, at) and initial and not document.capitals:
        # The phrase is no longer the sentence's beginning.
        return Change(at, at + 1, change.new + text[at].lower())
    return change


def free(document: Document, mention: Mention) -> bool:
    """Whether a further word can stand in front of a mention: its words begin there, and it is no clause."""
    start = document.sentences[mention.sentence].start
    if re.match(r"\s+(?:density|opacity|lesion|densities|like)\b", document.lower[mention.end : mention.end + 12]):
        return False  # "mass density": the name is part of a longer one
    return not told(document, mention) and _FREE.search(document.lower[start : mention.low]) is not None


def told(document: Document, mention: Mention) -> bool:
    """Whether a mention is a clause of its own ("the heart is enlarged")."""
    words = " ".join(document.lower[mention.start : mention.end].split())
    return words not in mention.finding.singular and words not in mention.finding.plural


def ends(document: Document, mention: Mention) -> bool:
    """Whether nothing of the sentence follows a mention's words but its stop."""
    sentence = document.sentences[mention.sentence]
    return _END.fullmatch(document.text[mention.high : sentence.end]) is not None


def closes(document: Document, mention: Mention) -> bool:
    """Whether a sentence says nothing behind a mention's words but that it is seen."""
    sentence = document.sentences[mention.sentence]
    return _SEEN.fullmatch(document.lower[mention.high : sentence.end]) is not None


def near_placeholder(document: Document, start: int, end: int, reach: int = 24) -> bool:
    """Whether a placeholder stands within about three words of a place, in its sentence."""
    index = document.index(start)
    low, high = (0, len(document.text)) if index is None else (
        document.sentences[index].start, document.sentences[index].end
    )  # fmt: skip
    return PLACEHOLDER.search(document.text, max(low, start - reach), min(high, end + reach)) is not None
