"""One run of the engine: who sits in which slot, who waits, and what the device is to do next.

Shape letters as in `slots`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import jax
import numpy as np
from flax import nnx

from reeval.decode.device import Device
from reeval.decode.grammar import Grammar
from reeval.decode.packing import Piece, Prompt, bucket, fill, packed, pieces
from reeval.decode.sizes import Sizes
from reeval.decode.slots import NOTHING, Made, Rows, Starts, Writes
from reeval.decode.turns import Counts, Done, Lines, Request, Turn

# Waiting requests that are looked at to fill rows, for each slot.
_AHEAD = 2


@dataclasses.dataclass
class _Seat:
    """A slot's conversation as the host knows it; `length`: its own tokens in the cache."""

    request: Request
    start: int
    length: int
    turns: list[Turn] = dataclasses.field(default_factory=list)
    tokens: list[int] = dataclasses.field(default_factory=list)
    odds: list[float] = dataclasses.field(default_factory=list)


class Run:
    """One run: what is on the device, who sits in which slot, and who waits."""

    def __init__(
        self,
        sizes: Sizes,
        device: Device,
        counts: Counts,
        grammar: Grammar,
        weights: nnx.State,
        requests: Iterable[Request],
        lines: Lines,
        *,
        end: int,
        wait_every: int,
        pixels: tuple[int, ...] | None,
    ):
        self.sizes, self.device, self.counts, self.grammar = sizes, device, counts, grammar
        self.weights, self.lines = weights, lines
        self.end, self.wait_every, self.pixels = end, wait_every, pixels
        self.requests = iter(requests)
        # With what each has beyond the prefix.
        self.waiting: list[tuple[Request, Sequence[int]]] = []
        self.seats: list[_Seat | None] = [None] * sizes.slots

    def conversations(self) -> Iterator[Done]:
        self._look_ahead()
        self.room = self._room(0)
        self.slots = self.device.empty(self.weights, self.room)
        self.unstacked = self.device.unstacked(self.weights)
        self.prefix = self.device.prefix(self.weights)
        self.counts.prefix += len(self.sizes.prefix)
        done: list[Done] = []
        while True:
            self._begin_first_turns()
            made = self._decode()
            # The device is at work: time for the host's.
            yield from done
            if made is None:
                return
            self._look_ahead()
            done = self._collect(made)

    def _look_ahead(self) -> None:
        while len(self.waiting) < _AHEAD * self.sizes.slots:
            request = next(self.requests, None)
            if request is None:
                return
            self.waiting.append((request, self.sizes.beyond_prefix(request.tokens)))

    def _begin_first_turns(self) -> None:
        """Fill the free slots with those that wait."""
        sizes = self.sizes
        while self.waiting and (free := [i for i, seat in enumerate(self.seats) if seat is None]):
            # Prompts with an image stand alone in a row, and in a program of their own.
            seen = self.waiting[0][0].image is not None
            alike = [i for i, (request, _) in enumerate(self.waiting) if (request.image is not None) == seen]
            prompts = [_prompt(*self.waiting[i]) for i in alike]
            filled = fill(prompts, len(free), sizes.rows, sizes.row_lengths[-1], alone=seen)
            starts, rows, images = self._nobody(), [], []
            for row in filled:
                seated = {i: free.pop(0) for bundle in row for i in bundle.members}
                for i, slot in seated.items():
                    request, own = self.waiting[alike[i]]
                    start = prompts[i].start
                    _begin(starts, slot, len(own) - 1, start, own[-1], self.grammar.first, request.seed)
                    self.seats[slot] = _Seat(request, start, len(own) - 1)
                    self.counts.prompts += len(own)
                    if request.image is not None:
                        images.append(request.image.pixels())
                self.counts.shared += sum((len(bundle.members) - 1) * bundle.shared for bundle in row)
                rows.append(pieces(row, prompts, seated))
            taken = {alike[i] for row in filled for bundle in row for i in bundle.members}
            self.waiting = [waiting for i, waiting in enumerate(self.waiting) if i not in taken]
            length = bucket(sizes.row_lengths, max(sum(len(piece.tokens) for piece in row) for row in rows))
            packed, writes = self._packed(rows, sizes.rows, length)
            self._make_room(0)
            pixels = None
            if seen:
                assert self.pixels is not None
                pixels = np.zeros((sizes.rows, 1, *self.pixels), np.float32)
                pixels[: len(images), 0] = images
            self.slots = self.device.prefill(
                self.weights, self.slots, self.prefix, packed, writes, starts, pixels, self.unstacked
            )

    def _begin_second_turns(self, asked: dict[int, int]) -> None:
        """`asked`: of each slot that goes on, how many lines it is to have."""
        sizes = self.sizes
        tokens, slots = sizes.second, list(asked)
        for first in range(0, len(slots), sizes.second_rows):
            chosen = slots[first : first + sizes.second_rows]
            starts, rows = self._nobody(), []
            slot_R = np.zeros(sizes.second_rows, np.int32)
            for r, slot in enumerate(chosen):
                seat = self.seats[slot]
                assert seat is not None
                slot_R[r] = slot
                rows.append([Piece(tokens[:-1], [slot], seat.start, seat.length)])
                seat.length += len(tokens) - 1
                state = self.grammar.second_L[asked[slot]] if len(self.grammar.second_L) else self.grammar.first
                _begin(starts, slot, seat.length, seat.start, tokens[-1], int(state), seat.request.seed)
                self.counts.second += len(tokens)
            self._make_room(0)
            packed, writes = self._packed(rows, sizes.second_rows, max(1, len(tokens) - 1))
            self.slots = self.device.go_on(self.weights, self.slots, self.prefix, packed, writes, starts, slot_R)

    def _decode(self) -> Made | None:
        if not any(self.seats):
            return None
        self._make_room(self.wait_every)
        self.slots, made = self.device.decode(self.weights, self.slots, self.prefix, self.unstacked)
        return made

    def _make_room(self, more: int) -> None:
        """Let the cache hold what it is to hold, and `more` tokens of each conversation: what it holds is all read."""
        if (room := self._room(more)) > self.room:
            self.room = room
            self.slots = self.device.grown(self.slots, room)

    def _room(self, more: int) -> int:
        lengths = [seat.length + more for seat in self.seats if seat is not None]
        longest = max([*lengths, *(len(own) for _, own in self.waiting)], default=0)
        return bucket(self.sizes.rooms, min(longest, self.sizes.rooms[-1]))

    def _collect(self, made: Made) -> list[Done]:
        """Hand out what was made; gives the conversations that are done, and asks the others' second turns."""
        made = Made(*jax.device_get(tuple(made)))
        self.counts.waits += 1
        self.counts.steps += int(made.steps)
        done, asked = [], {}
        for slot, seat in enumerate(self.seats):
            if seat is None:
                continue
            row = made.tokens_BK[slot]
            tokens = row[row != NOTHING].tolist()
            self.counts.used += len(tokens)
            seat.length += len(tokens)
            seat.tokens += tokens
            odds = made.odds_BK[slot, : len(tokens)]
            seat.odds += odds[~np.isnan(odds)].tolist()
            finished = seat.tokens[-1] == self.end
            if not finished and len(seat.tokens) <= self.sizes.max_answer_tokens:
                continue
            turn = Turn(seat.tokens[:-1], finished, seat.odds)
            seat.turns.append(turn)
            seat.tokens, seat.odds = [], []
            more = finished and self.sizes.second and len(seat.turns) == 1
            if more and (n := self.lines(seat.request, turn)):
                asked[slot] = n
            else:
                done.append((seat.request, seat.turns))
                self.seats[slot] = None
        self._begin_second_turns(asked)
        return done

    def _packed(self, rows: Sequence[Sequence[Piece]], count: int, length: int) -> tuple[Rows, list[Writes]]:
        self.counts.padding += count * length - sum(len(piece.tokens) for row in rows for piece in row)
        return packed(rows, count, length, beyond=self.sizes.rooms[-1])

    def _nobody(self) -> Starts:
        B = self.sizes.slots
        length_B, start_B, token_B, state_B = (np.zeros(B, np.int32) for _ in range(4))
        return Starts(np.zeros(B, bool), length_B, start_B, token_B, state_B, np.zeros((B, 2), np.uint32))


def _prompt(request: Request, own: Sequence[int]) -> Prompt:
    return Prompt(len(request.tokens) - len(own), own[:-1])


def _begin(starts: Starts, slot: int, length: int, start: int, token: int, state: int, seed: int) -> None:
    """Enter a turn into `starts`."""
    seed_2 = (seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF)
    for array, value in zip(starts, (True, length, start, token, state, seed_2), strict=True):
        array[slot] = value
