"""What is prefilled together: lengths in few buckets, several prompts a row, what waiting ones share once.

Shape letters: R rows of a prefill, T tokens of a row.
"""

import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from reeval.decode.slots import Rows, Writes

_SHORTEST = 64
# From here on there is a step between two powers of two.
_FINER = 256
# Tokens that prompts share at least for it to be worth it.
_LEAST = 16


class Prompt(NamedTuple):
    """What is to be prefilled of a prompt: `tokens`, after `start` tokens of the prefix."""

    start: int
    tokens: Sequence[int]


class Bundle(NamedTuple):
    """Prompts, by index, that begin with the same `shared` tokens, computed once; 0 for one alone."""

    members: list[int]
    shared: int


class Piece(NamedTuple):
    """Tokens that go into slots, whose first entry lands at index `at` of each, at position `start` + `at`.

    start: how many tokens of the prefix the slots' conversations begin with. after: which piece of the row, from 1, it
    continues; 0 if none.
    """

    tokens: Sequence[int]
    slots: Sequence[int]
    start: int
    at: int
    after: int = 0


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


def fill(prompts: Sequence[Prompt], places: int, rows: int, room: int, *, alone: bool) -> list[list[Bundle]]:
    """Which of those that wait go into each row: the one that waits longest with those that begin as it does, as many
    as there is room for, then whatever fills a row best of those that need not part.

    Args:
        prompts: of those that wait, none longer than `room`; the first waits longest.
        places: how many can be taken.
        room: tokens of a row.
        alone: one a row.
    """
    left = [Bundle([i], 0) for i in range(len(prompts))] if alone else bundles(prompts)
    filled: list[list[Bundle]] = []
    while left and places and len(filled) < rows:
        taken, rest = _parted(prompts, left.pop(0), places, room)
        if rest.members:
            left.insert(0, rest)
        row, free = [taken], room - _size(prompts, taken)
        places -= len(taken.members)
        while not alone:
            fitting = [each for each in left if len(each.members) <= places and _size(prompts, each) <= free]
            if not fitting:
                break
            best = max(fitting, key=lambda each: _size(prompts, each))
            left.remove(best)
            row.append(best)
            free, places = free - _size(prompts, best), places - len(best.members)
        filled.append(row)
    return filled


def bundles(prompts: Sequence[Prompt]) -> list[Bundle]:
    """All prompts, each in one bundle; who waits longest leads, among bundles and in each."""
    beginnings = defaultdict(list)
    for i, (start, tokens) in enumerate(prompts):
        beginnings[start, *tokens[:_LEAST]].append(i)
    made = []
    for group in beginnings.values():
        while group:
            made.append(_bundle(prompts, group))
            group = [i for i in group if i not in made[-1].members]
    return sorted(made)


def _bundle(prompts: Sequence[Prompt], group: Sequence[int]) -> Bundle:
    """The first one with those of the others with whom the most tokens are saved."""
    first, *others = group
    shared = {i: _common(prompts[first].tokens, prompts[i].tokens) for i in others}
    others = sorted((i for i in others if shared[i] >= _LEAST), key=lambda i: -shared[i])
    possible = [Bundle([first, *others[:n]], shared[others[n - 1]]) for n in range(1, len(others) + 1)]
    return max(possible, key=_saved, default=Bundle([first], 0))


def _parted(prompts: Sequence[Prompt], bundle: Bundle, places: int, room: int) -> tuple[Bundle, Bundle]:
    """As many of its first members as there is room for, at least one, and the others."""
    members, shared = bundle
    count = min(places, len(members))
    while count > 1 and _size(prompts, Bundle(members[:count], shared)) > room:
        count -= 1
    parts = (members[:count], members[count:])
    taken, rest = (Bundle(part, shared if len(part) > 1 else 0) for part in parts)
    return taken, rest


def _size(prompts: Sequence[Prompt], bundle: Bundle) -> int:
    return sum(len(prompts[i].tokens) for i in bundle.members) - _saved(bundle)


def _saved(bundle: Bundle) -> int:
    return (len(bundle.members) - 1) * bundle.shared


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def pieces(row: Sequence[Bundle], prompts: Sequence[Prompt], slots: Mapping[int, int]) -> list[Piece]:
    """Of one row. `slots`: of each prompt, by index."""
    made: list[Piece] = []
    for members, shared in row:
        start, tokens = prompts[members[0]]
        if shared:
            made.append(Piece(tokens[:shared], [slots[i] for i in members], start, 0))
        trunk = len(made) if shared else 0
        made += [Piece(prompts[i].tokens[shared:], [slots[i]], start, shared, trunk) for i in members]
    return made


def packed(filled: Sequence[Sequence[Piece]], rows: int, length: int, beyond: int) -> tuple[Rows, list[Writes]]:
    """Pieces as the arrays of a prefill, [rows, length].

    Args:
        beyond: an index that no slot has, for what goes nowhere.
    """
    made = Rows(*(np.zeros((rows, length), np.int32) for _ in Rows._fields))
    copies = max(len(piece.slots) for row in filled for piece in row)
    writes = [
        Writes(np.zeros((rows, length), np.int32), np.full((rows, length), beyond, np.int32)) for _ in range(copies)
    ]
    for r, row in enumerate(filled):
        filled_to = 0
        for number, piece in enumerate(row, start=1):
            part = slice(filled_to, filled_to + len(piece.tokens))
            index = piece.at + np.arange(len(piece.tokens))
            made.tokens_RT[r, part] = piece.tokens
            made.positions_RT[r, part] = piece.start + index
            made.segments_RT[r, part] = number
            made.parents_RT[r, part] = piece.after or number
            made.start_RT[r, part] = piece.start
            for slot, write in zip(piece.slots, writes, strict=False):
                write.slot_RT[r, part] = slot
                write.index_RT[r, part] = index
            filled_to = part.stop
    return made, writes
