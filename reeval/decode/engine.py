"""The host's side of scoring: requests in, finished conversations out, the device never idle without need.

Shape letters as in `slots`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from reeval import sharding
from reeval.data.images import StudyImage
from reeval.decode.device import Device
from reeval.decode.grammar import Grammar
from reeval.decode.memory import Memory
from reeval.decode.packing import Piece, bucket, buckets, fill, packed
from reeval.decode.slots import NOTHING, Made, Programs, Rows, Starts

# Room beyond `max_prompt_tokens` for a prompt whose text makes it part with the prefix some tokens early.
_SPARE = 64
# Waiting requests that are looked at to fill rows, for each slot.
_AHEAD = 2
# Tokens of a packed row, where slots can fill it: few prompts begin at a time on a CPU, and padding costs there.
_ROW = {"cpu": 512}
_ROW_OF_OTHERS = 2048
# Second turns that begin together, for each row that the mesh needs.
_SECOND = {"cpu": 1}
_SECOND_OF_OTHERS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A conversation to be had.

    Attributes:
        key: what the caller knows it by.
        tokens: the whole prompt, prefix included.
        seed: of its own sampling; the same whatever slot and order.
    """

    key: Any
    tokens: Sequence[int]
    image: StudyImage | None = None
    seed: int = 0


class Turn(NamedTuple):
    """An answer without its end token, whether it ended in time, and the log odds of significant against
    insignificant of each severity that it decides, in order."""

    tokens: list[int]
    finished: bool
    log_odds: list[float]


Lines = Callable[[Request, Turn], int]
Done = tuple[Request, list[Turn]]


@dataclasses.dataclass
class Counts:
    """What was done since the engine was made.

    Attributes:
        prefix, prompts, second: tokens that went through the model: the shared ones, each prompt's own, and those that
            ask for second turns. The last one of a prompt and of a second turn is fed by a decode step.
        padding: entries of prefilled rows that held no token.
        steps, used: decode steps, and tokens made in them, end tokens too; there are slots * steps chances.
        waits: how often the host waited for the device.
    """

    prefix: int = 0
    prompts: int = 0
    second: int = 0
    padding: int = 0
    steps: int = 0
    used: int = 0
    waits: int = 0


@dataclasses.dataclass
class _Seat:
    """A slot's conversation as the host knows it; `length`: its own tokens in the cache."""

    request: Request
    start: int
    length: int
    turns: list[Turn] = dataclasses.field(default_factory=list)
    tokens: list[int] = dataclasses.field(default_factory=list)
    odds: list[float] = dataclasses.field(default_factory=list)


class Engine:
    """Has conversations with models of one structure; compiles a program when it is first needed."""

    def __init__(
        self,
        graph: nnx.GraphDef,
        mesh: Mesh,
        grammar: Grammar,
        *,
        prefix: Sequence[int],
        second: Sequence[int],
        end: int,
        slots: int,
        max_prompt_tokens: int,
        max_answer_tokens: int,
        wait_every: int = 8,
        temperature: float = 0.0,
        pixels: tuple[int, ...] | None = None,
    ):
        """
        Args:
            graph: of `nnx.split(model)`; the weights are arguments of the calls.
            grammar: what answers may be.
            prefix: tokens that prompts begin with. A prompt that shares only some of them is right all the same.
            second: tokens that ask for the second turn, from the first answer's end token on; empty if none is had.
            end: the token that ends an answer.
            slots: conversations at a time, rounded up to what the mesh is divided into.
            max_prompt_tokens: of a whole prompt.
            max_answer_tokens: of one answer, the end token not counted.
            wait_every: decode steps between two looks at what was made.
            temperature: of sampling; 0 takes the likeliest token.
            pixels: the shape of an image, for a model that sees.
        """
        assert slots > 0 and max_prompt_tokens > 0 and max_answer_tokens > 0 and wait_every > 0
        self.graph, self.mesh, self.grammar = graph, mesh, grammar
        self.prefix_tokens = list(prefix)[: max_prompt_tokens - 1]
        self.second_tokens = list(second)
        self.end, self.max_prompt_tokens, self.wait_every, self.pixels = end, max_prompt_tokens, wait_every, pixels
        self.max_answer_tokens = max_answer_tokens
        self.rows = sharding.batch_multiple(mesh)
        self.slots = -(-slots // self.rows) * self.rows
        P = len(self.prefix_tokens)
        self.longest = max_prompt_tokens - P + min(P, _SPARE)
        length = self.longest + max_answer_tokens
        if self.second_tokens:
            length += len(self.second_tokens) + max_answer_tokens
        self.reaches = buckets(length)
        platform = mesh.devices.flat[0].platform
        row = min(_ROW.get(platform, _ROW_OF_OTHERS), self.slots * self.longest)
        self.row_lengths = buckets(max(self.longest, row))
        self.second_rows = self.rows * _SECOND.get(platform, _SECOND_OF_OTHERS)
        programs = Programs(
            graph, mesh, end=end, answer=max_answer_tokens + 1, wait_every=wait_every, temperature=temperature
        )
        self.device = Device(programs, mesh, grammar, self.prefix_tokens, slots=self.slots, length=length)
        self.counts = Counts()

    def own(self, tokens: Sequence[int]) -> Sequence[int]:
        """What a prompt has beyond the prefix, at least its last token.

        Raises:
            ValueError: if there is no room for it.
        """
        shared = 0
        for token, other in zip(tokens[:-1], self.prefix_tokens, strict=False):
            if token != other:
                break
            shared += 1
        if len(tokens) > self.max_prompt_tokens or len(tokens) - shared > self.longest:
            raise ValueError(
                f"a prompt has {len(tokens)} tokens, {shared} of them shared, but there is room for "
                f"max_prompt_tokens={self.max_prompt_tokens}, and for {self.longest} that are not shared; raise it"
            )
        return tokens[shared:]

    def compilations(self) -> int:
        """Programs compiled so far."""
        return self.device.compilations().total()

    def memory(self, weights: nnx.State) -> Memory:
        """Bytes that a run takes on each device, known before anything runs; the weights may be abstract."""
        images = None if self.pixels is None else (self.rows, 1, *self.pixels)
        return self.device.memory(weights, (self.rows, self.row_lengths[-1]), images)

    def run(self, weights: nnx.State, requests: Iterable[Request], lines: Lines) -> Iterator[Done]:
        """Have the conversations; each is given as soon as it is done, in any order.

        Args:
            requests: taken when they are needed, a bounded number ahead.
            lines: from a request and its first answer, which ended in time, to how many lines the second turn has;
                0 if there is none.
        Raises:
            ValueError: if a prompt is longer than `max_prompt_tokens`.
        """
        return _Run(self, weights, requests, lines).conversations()


class _Run:
    """One run: what is on the device, who sits in which slot, and who waits."""

    def __init__(self, engine: Engine, weights: nnx.State, requests: Iterable[Request], lines: Lines):
        self.engine, self.weights, self.lines = engine, weights, lines
        self.device, self.counts = engine.device, engine.counts
        self.requests = iter(requests)
        # With what each has beyond the prefix.
        self.waiting: list[tuple[Request, Sequence[int]]] = []
        self.seats: list[_Seat | None] = [None] * engine.slots
        self.room = engine.reaches[0]

    def conversations(self) -> Iterator[Done]:
        self.slots = self.device.empty(self.weights, self.room)
        self.unstacked = self.device.unstacked(self.weights)
        self.prefix = self.device.prefix(self.weights)
        self.counts.prefix += len(self.engine.prefix_tokens)
        done: list[Done] = []
        self._look_ahead()
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
        while len(self.waiting) < _AHEAD * self.engine.slots:
            request = next(self.requests, None)
            if request is None:
                return
            self.waiting.append((request, self.engine.own(request.tokens)))

    def _begin_first_turns(self) -> None:
        """Fill the free slots with those that wait."""
        engine = self.engine
        while self.waiting and (free := [i for i, seat in enumerate(self.seats) if seat is None]):
            # Prompts with an image stand alone in a row, and in a program of their own.
            seen = self.waiting[0][0].image is not None
            alike = [i for i, (request, _) in enumerate(self.waiting) if (request.image is not None) == seen]
            lengths = [len(self.waiting[i][1]) - 1 for i in alike]
            filled = fill(lengths, len(free), engine.rows, engine.row_lengths[-1], alone=seen)
            starts, rows, images = self._nobody(), [], []
            for chosen in filled:
                pieces = []
                for i in chosen:
                    (request, own), slot = self.waiting[alike[i]], free.pop(0)
                    start = len(request.tokens) - len(own)
                    pieces.append(Piece(own[:-1], slot, start, 0))
                    _begin(starts, slot, len(own) - 1, start, own[-1], engine.grammar.first, request.seed)
                    self.seats[slot] = _Seat(request, start, len(own) - 1)
                    self.counts.prompts += len(own)
                    if request.image is not None:
                        images.append(request.image.pixels())
                rows.append(pieces)
            taken = {alike[i] for chosen in filled for i in chosen}
            self.waiting = [waiting for i, waiting in enumerate(self.waiting) if i not in taken]
            length = bucket(engine.row_lengths, max(sum(len(piece.tokens) for piece in row) for row in rows))
            packed = self._packed(rows, engine.rows, length)
            self._make_room(0)
            pixels = None
            if seen:
                assert engine.pixels is not None
                pixels = np.zeros((engine.rows, 1, *engine.pixels), np.float32)
                pixels[: len(images), 0] = images
            self.slots = self.device.prefill(self.weights, self.slots, self.prefix, packed, starts, pixels)

    def _begin_second_turns(self, asked: dict[int, int]) -> None:
        """`asked`: of each slot that goes on, how many lines it is to have."""
        engine = self.engine
        tokens, slots = engine.second_tokens, list(asked)
        for first in range(0, len(slots), engine.second_rows):
            chosen = slots[first : first + engine.second_rows]
            starts, rows = self._nobody(), []
            slot_R = np.zeros(engine.second_rows, np.int32)
            for r, slot in enumerate(chosen):
                seat = self.seats[slot]
                assert seat is not None
                slot_R[r] = slot
                rows.append([Piece(tokens[:-1], slot, seat.start, seat.length)])
                seat.length += len(tokens) - 1
                state = engine.grammar.second_L[asked[slot]] if len(engine.grammar.second_L) else engine.grammar.first
                _begin(starts, slot, seat.length, seat.start, tokens[-1], int(state), seat.request.seed)
                self.counts.second += len(tokens)
            self._make_room(0)
            packed = self._packed(rows, engine.second_rows, max(1, len(tokens) - 1))
            self.slots = self.device.go_on(self.weights, self.slots, self.prefix, packed, starts, slot_R)

    def _decode(self) -> Made | None:
        if not any(self.seats):
            return None
        self._make_room(self.engine.wait_every)
        self.slots, made = self.device.decode(self.weights, self.slots, self.prefix, self.unstacked)
        return made

    def _make_room(self, more: int) -> None:
        """Let the cache hold what it is to hold, and `more` tokens of each conversation: what it holds is all read."""
        reaches = self.engine.reaches
        longest = max(seat.length for seat in self.seats if seat is not None) + more
        longest = max(longest, *(len(own) for _, own in self.waiting)) if self.waiting else longest
        if longest > self.room and self.room < reaches[-1]:
            self.room = bucket(reaches, min(longest, reaches[-1]))
            self.slots = self.device.grown(self.slots, self.room)

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
            finished = seat.tokens[-1] == self.engine.end
            if not finished and len(seat.tokens) <= self.engine.max_answer_tokens:
                continue
            turn = Turn(seat.tokens[:-1], finished, seat.odds)
            seat.turns.append(turn)
            seat.tokens, seat.odds = [], []
            more = finished and self.engine.second_tokens and len(seat.turns) == 1
            if more and (n := self.lines(seat.request, turn)):
                asked[slot] = n
            else:
                done.append((seat.request, seat.turns))
                self.seats[slot] = None
        self._begin_second_turns(asked)
        return done

    def _packed(self, rows: Sequence[Sequence[Piece]], count: int, length: int) -> Rows:
        self.counts.padding += count * length - sum(len(piece.tokens) for row in rows for piece in row)
        return packed(rows, count, length, beyond=self.engine.reaches[-1])

    def _nobody(self) -> Starts:
        B = self.engine.slots
        length_B, start_B, token_B, state_B = (np.zeros(B, np.int32) for _ in range(4))
        return Starts(np.zeros(B, bool), length_B, start_B, token_B, state_B, np.zeros((B, 2), np.uint32))


def _begin(starts: Starts, slot: int, length: int, start: int, token: int, state: int, seed: int) -> None:
    """Enter a turn into `starts`."""
    seed_2 = (seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF)
    for array, value in zip(starts, (True, length, start, token, state, seed_2), strict=True):
        array[slot] = value
