"""What is prefilled together: lengths in few buckets, several prompts a row, waiting ones chosen so that rows fill up.

Shape letters: R rows of a prefill, T tokens of a row.
"""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reeval.decode.slots import Rows

_SHORTEST = 64
# From here on there is a step between two powers of two.
_FINER = 256


class Piece(NamedTuple):
    """Tokens that go into a slot, whose first entry lands at index `at` of it, at position `start` + `at`.

    start: how many tokens of the prefix the slot's conversation begins with.
    """

    tokens: Sequence[int]
    slot: int
    start: int
    at: int


def buckets(longest: int) -> list[int]:
    """Lengths, rising; the last one is `longest`."""
    steps, size = [], _SHORTEST
    while size < longest:
        steps.append(size)
        if _FINER <= size and size * 3 // 2 < longest:
            steps.append(size * 3 // 2)
        size *= 2
    return [*steps, longest]


def bucket(sizes: Sequence[int], length: int) -> int:
    """The least of `sizes` that holds `length`."""
    return sizes[bisect.bisect_left(sizes, length)]


def fill(lengths: Sequence[int], places: int, rows: int, room: int, *, alone: bool) -> list[list[int]]:
    """Which of those that wait go into each row: the one that waits longest, then whatever fills a row best.

    Args:
        lengths: of those that wait, none longer than `room`; the first waits longest.
        places: how many can be taken.
        room: tokens of a row.
        alone: one a row.
    Returns:
        for each row at most `rows`, indexes into `lengths`.
    """
    left = list(range(len(lengths)))
    filled: list[list[int]] = []
    while left and places and len(filled) < rows:
        row, free = [left.pop(0)], room
        free, places = free - lengths[row[0]], places - 1
        while places and not alone and (fitting := [i for i in left if lengths[i] <= free]):
            best = max(fitting, key=lambda i: lengths[i])
            left.remove(best)
            row.append(best)
            free, places = free - lengths[best], places - 1
        filled.append(row)
    return filled


def packed(filled: Sequence[Sequence[Piece]], rows: int, length: int, beyond: int) -> Rows:
    """Pieces as the arrays of a prefill, [rows, length].

    Args:
        beyond: an index that no slot has, for padding.
    """
    made = Rows(*(np.zeros((rows, length), np.int32) for _ in Rows._fields))
    made.index_RT[:] = beyond
    for r, pieces in enumerate(filled):
        filled_to = 0
        for number, piece in enumerate(pieces, start=1):
            part = slice(filled_to, filled_to + len(piece.tokens))
            index = piece.at + np.arange(len(piece.tokens))
            made.tokens_RT[r, part] = piece.tokens
            made.positions_RT[r, part] = piece.start + index
            made.segments_RT[r, part] = number
            made.start_RT[r, part] = piece.start
            made.slot_RT[r, part] = piece.slot
            made.index_RT[r, part] = index
            filled_to = part.stop
    return made
