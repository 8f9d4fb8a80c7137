"""What a synthesised pair says of its own making, checked against its texts.

`metadata.pieces` lists what the candidate is made of, in its order: `[start, end]` copies that range of the reference,
`[start, end, text, kind]` puts `text` in its place (start == end inserts), `kind` being `error N` for the N-th of
`errors`, or the name of a harmless variation. Together the ranges cover each character of the reference once, and the
texts are the candidate. `metadata.rules` names the rule of each error.
"""

import re
from collections.abc import Iterator
from typing import Any

from reeval.pairs import Error, Pair
from reeval.taxonomy import RULES

_ERROR_KIND = re.compile(r"error (\d+)")
Range = tuple[int, int]


def problems(pair: Pair) -> Iterator[str]:
    """What is wrong with a pair's pieces and rules, without a word of its texts; nothing where it has none."""
    if "pieces" in pair.metadata:
        yield from _pieces(pair, pair.metadata["pieces"])
    if "rules" in pair.metadata:
        yield from _rules(pair, pair.metadata["rules"])


def _pieces(pair: Pair, pieces: Any) -> Iterator[str]:
    field = "field 'metadata.pieces"
    if not isinstance(pieces, list):
        yield f"{field}': must be a list"
        return
    for i, piece in enumerate(pieces):
        if not _well_formed(piece, len(pair.reference)):
            yield f"{field}[{i}]': must be [start, end] or [start, end, text, kind] within the reference"
            return
    covered = 0
    for start, end, *_ in sorted(pieces, key=lambda piece: piece[:2]):
        if start != covered:
            yield f"{field}': the ranges {'overlap' if start < covered else 'leave a gap'} at {min(start, covered)}"
            return
        covered = end
    if covered != len(pair.reference):
        yield f"{field}': the ranges end at {covered}, the reference at {len(pair.reference)}"
        return
    texts = [piece[2] if piece[2:] else pair.reference[piece[0] : piece[1]] for piece in pieces]
    if "".join(texts) != pair.candidate:
        yield f"{field}': together they are not the candidate"
        return
    yield from _errors(pair, pieces, texts)


def _well_formed(piece: Any, length: int) -> bool:
    if not isinstance(piece, list) or len(piece) not in (2, 4):
        return False
    start, end, *rest = piece
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= length:
        return False
    return all(isinstance(part, str) for part in rest) and (not rest or bool(rest[1].strip()))


def _errors(pair: Pair, pieces: list[list[Any]], texts: list[str]) -> Iterator[str]:
    """Each error is made by a piece at least, and its spans touch the pieces that make it."""
    places: dict[int, list[tuple[Range, Range]]] = {}  # of each error: ranges in the reference, in the candidate
    at = 0
    for i, (piece, text) in enumerate(zip(pieces, texts, strict=True)):
        made = _ERROR_KIND.fullmatch(piece[3]) if piece[2:] else None
        if made:
            index = int(made[1])
            if pair.errors is None or index >= len(pair.errors):
                yield f"field 'metadata.pieces[{i}]': there is no error {index}"
                return
            places.setdefault(index, []).append(((piece[0], piece[1]), (at, at + len(text))))
        at += len(text)
    for index, error in enumerate(pair.errors or ()):
        if index not in places:
            yield f"field 'errors[{index}]': no piece makes it"
        elif side := _astray(pair, error, places[index]):
            yield f"field 'errors[{index}].{side}_span': stands elsewhere than the pieces that make the error"


def _astray(pair: Pair, error: Error, places: list[tuple[Range, Range]]) -> str | None:
    """The side of an error whose span touches none of its pieces."""
    for side, span, text in (
        (0, error.reference_span, pair.reference),
        (1, error.candidate_span, pair.candidate),
    ):
        stands = [(at.start(), at.start() + len(span)) for at in re.finditer(f"(?={re.escape(span)})", text)]
        ranges = [place[side] for place in places]
        if span and not any(a <= end and start <= b for a, b in stands for start, end in ranges):
            return ("reference", "candidate")[side]
    return None


def _rules(pair: Pair, rules: Any) -> Iterator[str]:
    field = "field 'metadata.rules"
    errors = pair.errors or ()
    if not isinstance(rules, list) or len(rules) != len(errors):
        yield f"{field}': must name one rule for each error"
        return
    for i, (name, error) in enumerate(zip(rules, errors, strict=True)):
        if not isinstance(name, str) or name not in RULES:
            yield f"{field}[{i}]': no rule of the taxonomy"
            continue
        cell, rule = RULES[name]
        if (cell.aspect, cell.type, rule.severity) != (error.aspect, error.type, error.severity):
            yield f"{field}[{i}]': is of another aspect, type or severity than errors[{i}]"
