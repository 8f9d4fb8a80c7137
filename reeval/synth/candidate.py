"""A candidate report put together from its reference: edits, harmless variations and reorderings in one text.

The result is made of pieces that cover the reference exactly once: ranges copied as they are, and ranges replaced, each
with the error or the variation that replaced it. So whoever has a pair can check that nothing else was touched.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from reeval.pairs import Error
from reeval.synth.document import Document
from reeval.synth.edit import Change, Edit, Variation, conflict

# A run of sentences (indices, in order), and the same indices as the candidate has them.
Order = tuple[tuple[int, ...], tuple[int, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """reference[start:end] copied (kind None), or replaced by `new`."""

    start: int
    end: int
    new: str = ""
    kind: str | None = None

    def text(self, reference: str) -> str:
        return reference[self.start : self.end] if self.kind is None else self.new

    def to_json(self) -> list[Any]:
        return [self.start, self.end] if self.kind is None else [self.start, self.end, self.new, self.kind]


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate's text, its errors in the order of the text (omissions last), the rule of each, and its pieces."""

    text: str
    errors: tuple[Error, ...]
    rules: tuple[str, ...]
    pieces: tuple[Piece, ...]


def fits(taken: Sequence[Edit | Variation], new: Edit | Variation) -> bool:
    """Whether an edit or variation can stand beside those already chosen: it changes none of their words, none of the
    words that their errors quote, and speaks of no concept of theirs."""
    for other in taken:
        if conflict(other.changes, new.changes):
            return False
        for one, two in ((other, new), (new, other)):
            if isinstance(one, Edit) and one.span[0] < one.span[1]:
                low, high = one.span
                if any(change.start < high and low < change.end for change in two.changes if change.start < change.end):
                    return False
                if any(low < change.start < high for change in two.changes):
                    return False
        if isinstance(other, Edit) and isinstance(new, Edit):
            if other.topics & new.topics:
                return False
            if other.span[0] < new.span[1] and new.span[0] < other.span[1]:
                return False
    return True


def assemble(
    document: Document, edits: Sequence[Edit], variations: Sequence[Variation] = (), orders: Sequence[Order] = ()
) -> Candidate:
    """Put a candidate together from edits and variations that fit each other. An order that they stand in the way of
    is left out."""
    changes: list[tuple[Change, str]] = [
        (_itemised(document, change, variations), f"edit {i}")
        for i, edit in enumerate(edits)
        for change in edit.changes
    ]
    changes += [(change, variation.kind) for variation in variations for change in variation.changes]
    changes.sort(key=lambda item: (item[0].start, item[0].end))
    orders = [order for order in orders if _possible(document, order, changes, edits)]
    pieces = _ordered(document, _pieces(document, changes), orders)
    found: list[tuple[int, str, Error, int]] = []
    for number, edit in enumerate(edits):
        start, text = _span(document.text, pieces, edit, f"edit {number}")
        low, high = edit.span
        error = Error(edit.type, edit.aspect, document.text[low:high].strip(), text, edit.severity)
        found.append((start if text else len(document.text) * 4 + start, edit.rule, error, number))
    found.sort(key=lambda item: item[0])
    renamed = {f"edit {item[3]}": f"error {index}" for index, item in enumerate(found)}
    pieces = [dataclasses.replace(p, kind=renamed.get(p.kind, p.kind)) if p.kind else p for p in pieces]
    return Candidate(
        text="".join(piece.text(document.text) for piece in pieces),
        errors=tuple(item[2] for item in found),
        rules=tuple(item[1] for item in found),
        pieces=tuple(pieces),
    )


def _itemised(document: Document, change: Change, variations: Sequence[Variation]) -> Change:
    """A sentence added behind the last one of a section that a variation makes a list gets an item of its own, unless
    it goes on about the one before."""
    begun = re.match(r"(\.?) (?=[A-Z])(?!(?i:this|these|it|they)\b)", change.new)
    if change.start < change.end or not begun:
        return change
    for variation in variations:
        last = variation.changes[-1]
        mark = re.fullmatch(r"\n(?:(\d+)\. |[-*] )", last.new)
        if (
            variation.kind == "layout"
            and mark
            and any(sentence.start == last.end and sentence.end == change.start for sentence in document.sentences)
        ):
            new = f"\n{int(mark[1]) + 1}. " if mark[1] else last.new
            return Change(change.start, change.end, begun[1] + new + change.new[begun.end() :])
    return change


def _pieces(document: Document, changes: Sequence[tuple[Change, str]]) -> list[Piece]:
    """The candidate's pieces in the reference's order, cut at the sentences as well."""
    cuts = sorted({offset for sentence in document.sentences for offset in (sentence.start, sentence.end)})
    pieces: list[Piece] = []
    at = 0

    def copy(until: int) -> None:
        nonlocal at
        for cut in [cut for cut in cuts if at < cut < until] + [until]:
            if cut > at:
                pieces.append(Piece(at, cut))
                at = cut

    for change, kind in changes:
        assert change.start >= at, "changes overlap"
        copy(change.start)
        pieces.append(Piece(change.start, change.end, change.new, kind))
        at = change.end
    copy(len(document.text))
    return pieces


def _possible(document: Document, order: Order, changes: Sequence[tuple[Change, str]], edits: Sequence[Edit]) -> bool:
    blocks = [document.sentences[index] for index in order[0]]
    low, high = blocks[0].start, blocks[-1].end
    for change, _ in changes:
        inside = any(b.start <= change.start and change.end <= b.end and change.end > b.start for b in blocks)
        if change.start <= high and change.end >= low and not inside:
            return False
    return all(
        edit.span[1] <= low
        or edit.span[0] >= high
        or any(b.start <= edit.span[0] and edit.span[1] <= b.end for b in blocks)
        for edit in edits
    )


def _ordered(document: Document, pieces: list[Piece], orders: Sequence[Order]) -> list[Piece]:
    for run, permuted in orders:
        assert sorted(run) == sorted(permuted)
        blocks = {index: document.sentences[index] for index in run}

        def within(piece: Piece, start: int, end: int) -> bool:
            return start <= piece.start and piece.end <= end and not (piece.start == piece.end == start)

        first = next(i for i, p in enumerate(pieces) if p.start >= blocks[run[0]].start and p.end <= blocks[run[0]].end)
        last = max(i for i, p in enumerate(pieces) if p.end <= blocks[run[-1]].end)
        middle = pieces[first : last + 1]
        of = {index: [p for p in middle if within(p, b.start, b.end)] for index, b in blocks.items()}
        moved: list[Piece] = []
        for place, index in enumerate(permuted):
            moved += of[index]
            if place + 1 < len(run):
                gap = (blocks[run[place]].end, blocks[run[place + 1]].start)
                moved += [p for p in middle if gap[0] <= p.start and p.end <= gap[1] and p.start < p.end]
        assert sorted((p.start, p.end, p.new) for p in moved) == sorted((p.start, p.end, p.new) for p in middle)
        pieces = [*pieces[:first], *moved, *pieces[last + 1 :]]
    return pieces


def _span(reference: str, pieces: Sequence[Piece], edit: Edit, kind: str) -> tuple[int, str]:
    """Where in the candidate an edit's words stand, and the words."""
    low, high = edit.span
    at, start, text = 0, -1, ""
    for piece in pieces:
        words = piece.text(reference)
        if piece.kind == kind and (
            (piece.start < high and low < piece.end) or (low <= piece.start and piece.end <= high)
        ):
            beyond = piece.start < low or high < piece.end
            part = (0, 0) if beyond and edit.type == "omission" else (0, len(words))
        elif piece.kind is None and piece.start < high and low < piece.end:
            part = (max(low - piece.start, 0), min(high, piece.end) - piece.start)
        else:
            at += len(words)
            continue
        if start < 0:
            start = at + part[0]
        text += words[slice(*part)]
        at += len(words)
    # What an added sentence or item brings along to stand in a text or a list is no part of what it says.
    lead = re.match(
        r"(?:[.\s]*(?:[-*•]|\(?\d{1,2}[.)])\s+|[.,\s]*(?:and/or|and|or|nor)\s+|[.\s]*)", text, re.IGNORECASE
    )
    assert lead is not None
    if low == high:
        start += lead.end()
        text = text[lead.end() :]
    stripped = text.strip()
    start += text.find(stripped)
    return start, stripped if re.search(r"\w", stripped) else ""
