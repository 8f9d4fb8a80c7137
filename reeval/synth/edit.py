"""Edits of a report: replacements at offsets of the reference, with the rule that says what kind of error they make.

Whoever makes an edit says where it changes the text and which words of the reference its error concerns; the words of
the candidate follow from the changes. Nothing here looks at meaning.
"""

import dataclasses
import re
from collections.abc import Iterable

from reeval import taxonomy
from reeval.synth.document import Document
from reeval.synth.english import capital


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Change:
    """text[start:end] becomes `new`; start == end inserts."""

    start: int
    end: int
    new: str


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """One error that a candidate could have.

    rule: a key of `taxonomy.RULES`, which gives type, aspect and severity.
    changes: all places that it changes, sorted and disjoint: every mention of what it touches.
    span: the words of the reference that its error concerns, as offsets; (a, a) where the reference has none. What
        the candidate has there is the candidate's span: what the changes that reach into it make of it. Of an omission
        a change that reaches beyond the span, to take a space along or to give the next word its capital, counts for
        nothing there.
    topics: concepts that it speaks of; two edits of one candidate share none.
    """

    rule: str
    changes: tuple[Change, ...]
    span: tuple[int, int]
    topics: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        assert self.rule in taxonomy.RULES, self.rule
        assert self.changes and all(a.end <= b.start for a, b in zip(self.changes, self.changes[1:], strict=False)), (
            self
        )
        low, high = self.span
        assert low <= high and any(c.start <= high and low <= c.end for c in self.changes), "no change at the span"

    @property
    def type(self) -> str:
        return taxonomy.RULES[self.rule][0].type

    @property
    def aspect(self) -> str:
        return taxonomy.RULES[self.rule][0].aspect

    @property
    def severity(self) -> str:
        return taxonomy.RULES[self.rule][1].severity


@dataclasses.dataclass(frozen=True, slots=True)
class Variation:
    """A change of words that keeps the content: `kind` names it ("synonym", "merge", "heading" ...)."""

    kind: str
    changes: tuple[Change, ...]


def fitted(document: Document, at: int, new: str) -> str:
    """`new` written as the report is at this place: in capitals in a report of capitals, with a capital first letter
    where a sentence begins."""
    if document.capitals:
        return new.upper()
    if new and document.begins(at) and not document.text[at : at + 1].islower():
        return capital(new)
    return new


def replaced(document: Document, start: int, end: int, new: str) -> Change:
    """The words of a place replaced, written as the report is."""
    return Change(start, end, fitted(document, start, new))


def dropped_words(document: Document, start: int, end: int) -> Change:
    """A word or phrase within a sentence removed with the white space that parted it; the next word becomes the
    sentence's first where it was."""
    text = document.text
    while end < len(text) and text[end] in " \t":
        end += 1
    if text[end : end + 1] == "\n" and start and text[start - 1] in " \t":
        end += 1  # a line that was broken here goes on
    if document.begins(start) and end < len(text) and text[start].isupper() and text[end].islower():
        return Change(start, end + 1, text[end].upper())
    if end < len(text) and text[end] in ".,;:" and start and text[start - 1] in " \t":
        start -= 1
        while end > start and text[end - 1] in " \t":
            end -= 1
    return Change(start, end, "")


def dropped_sentence(document: Document, index: int) -> tuple[Change, ...] | None:
    """A sentence removed with its white space; a list's later numbers move up. None where nothing of its section
    would be left, or where its heading would stand alone."""
    sentences = document.sentences
    sentence = sentences[index]
    same = [i for i, other in enumerate(sentences) if other.section == sentence.section]
    if len(same) == 1:
        return None
    if line_end(document, index) > index:
        return None  # the rest of the item would take its number, and nobody its place
    following = sentences[index + 1] if index + 1 < len(sentences) else None
    if sentence.item:
        start = _mark(document, index)
        end = (
            _mark(document, index + 1)
            if following and following.item and following.section == sentence.section
            else None
        )
        if end is None:  # the last item: the break before it goes
            if index == 0 or sentences[index - 1].section != sentence.section:
                return None
            start, end = sentences[index - 1].end, sentence.end
        return (Change(start, end, ""), *_renumbered(document, index, -1))
    if following and following.section == sentence.section and not following.item:
        return (Change(sentence.start, following.start, ""),)
    if index and sentences[index - 1].section == sentence.section:
        return (Change(sentences[index - 1].end, sentence.end, ""),)
    return None


def replaced_sentence(document: Document, index: int, new: str) -> tuple[Change, ...]:
    """A sentence replaced by another; the full stop is `new`'s own, and missing where the report's is."""
    sentence = document.sentences[index]
    old = document.of(sentence)
    if not old.endswith((".", "!", "?")):
        new = new.rstrip(".")
    new = document.cased(new)
    return (Change(sentence.start, sentence.end, new),)


def added_sentence(document: Document, after: int, new: str) -> tuple[Change, ...]:
    """A sentence added behind sentence `after`: in prose after a space, in a list as the next item."""
    sentence = document.sentences[after]
    new = document.cased(new)
    text = document.text
    stop = "" if text[sentence.end - 1] in ".!?:;" else "."
    if not sentence.item:
        return (Change(sentence.end, sentence.end, f"{stop} {new}"),)
    mark = text[_mark(document, after) : sentence.start]
    number = _number(document, after)
    if number:
        old = text[slice(*number)]
        mark = mark.replace(old, str(int(old) + 1), 1)
    if ":" in mark or (not number and not re.match(r"\s*[-*•]", mark)):
        return (Change(sentence.end, sentence.end, f"{stop} {new}"),)  # an organ's line
    # As the items of this list are parted: each on a line of its own, or one behind the other.
    before = text[: _mark(document, after)].rstrip(" \t")
    lines = before.endswith("\n") or (not before and text[sentence.end :].lstrip(" \t").startswith("\n"))
    gap = "\n" if lines else " "
    return (Change(sentence.end, sentence.end, f"{stop}{gap}{mark}{new}"), *_renumbered(document, after, 1))


def line_end(document: Document, index: int) -> int:
    """The last sentence of the list item that sentence `index` begins; itself where it begins none."""
    sentence = document.sentences[index]
    if sentence.item:
        for other in document.sentences[index + 1 :]:
            if other.item or other.section != sentence.section:
                break
            index += 1
    return index


def _mark(document: Document, index: int) -> int:
    """Where the bullet, number or heading of a list item begins."""
    start = document.sentences[index].start
    before = document.text[max(0, start - 80) : start]
    match = re.search(r"(?:[-*•]|\(?\d{1,2}[.)])?[ \t]*(?:[A-Z][A-Za-z /&,]{0,60}:)?\s*$", before)
    return start - (len(match[0].lstrip()) if match else 0)


def _renumbered(document: Document, index: int, by: int) -> list[Change]:
    """The later numbers of the list of item `index`; none where that has no number itself."""
    if _number(document, index) is None:
        return []
    section = document.sentences[index].section
    later = [i for i in range(index + 1, len(document.sentences)) if document.sentences[i].section == section]
    found = [number for number in (_number(document, i) for i in later) if number]
    return [Change(low, high, str(int(document.text[low:high]) + by)) for low, high in found]


def _number(document: Document, index: int) -> tuple[int, int] | None:
    """Where the number of a list item stands; None without one."""
    sentence = document.sentences[index]
    if not sentence.item:
        return None
    start = max(0, sentence.start - 8)
    match = re.search(r"(?:^|\s)\(?(\d{1,2})[.)]\s*$", document.text[start : sentence.start])
    return (start + match.start(1), start + match.end(1)) if match else None


def conflict(one: Iterable[Change], other: Iterable[Change]) -> bool:
    """Whether two sets of changes touch the same characters, or insert at the same place."""
    return any(a.start <= b.end and b.start <= a.end and not _apart(a, b) for a in one for b in other)


def _apart(a: Change, b: Change) -> bool:
    # Neighbours may touch, unless one of them inserts there.
    return (a.end == b.start or b.end == a.start) and a.start < a.end and b.start < b.end
