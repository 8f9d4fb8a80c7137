"""Scoring: requests in, finished conversations out, the device never idle without need.

Shape letters as in `slots`.
"""

from collections.abc import Iterable, Iterator, Sequence

from flax import nnx
from jax.sharding import Mesh

from reeval.decode.device import Device
from reeval.decode.grammar import Grammar
from reeval.decode.memory import Memory
from reeval.decode.schedule import Run
from reeval.decode.sizes import Sizes
from reeval.decode.slots import Programs
from reeval.decode.turns import Counts, Done, Lines, Request, Turn

__all__ = ["Counts", "Engine", "Request", "Turn"]


class Engine:
    """Has conversations with models of one structure; compiles a program when it is first needed.

    Attributes:
        slots: conversations at a time.
        length: tokens of each beyond the prefix at most.
        counts: what was done so far.
    """

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
        assert wait_every > 0
        self.grammar, self.end, self.wait_every, self.pixels = grammar, end, wait_every, pixels
        self.sizes = Sizes(
            mesh,
            prefix=prefix,
            second=second,
            slots=slots,
            max_prompt_tokens=max_prompt_tokens,
            max_answer_tokens=max_answer_tokens,
        )
        self.slots, self.length = self.sizes.slots, self.sizes.rooms[-1]
        programs = Programs(
            graph, mesh, end=end, answer=max_answer_tokens + 1, wait_every=wait_every, temperature=temperature
        )
        self.device = Device(programs, mesh, grammar, self.sizes.prefix, slots=self.slots, length=self.length)
        self.counts = Counts()

    def compilations(self) -> int:
        """Programs compiled so far."""
        return self.device.compilations().total()

    def memory(self, weights: nnx.State) -> Memory:
        """Bytes that a run takes on each device, known before anything runs; the weights may be abstract."""
        return self.device.memory(weights, *self.largest_prefill())

    def largest_prefill(self) -> tuple[tuple[int, int], tuple[int, ...] | None]:
        """The shapes of its rows of tokens and of its images."""
        images = None if self.pixels is None else (self.sizes.rows, 1, *self.pixels)
        return (self.sizes.rows, self.sizes.row_lengths[-1]), images

    def run(self, weights: nnx.State, requests: Iterable[Request], lines: Lines) -> Iterator[Done]:
        """Have the conversations; each is given as soon as it is done, in any order.

        Args:
            requests: taken when they are needed, a bounded number ahead.
            lines: from a request and its first answer, which ended in time, to how many lines the second turn has;
                0 if there is none.
        Raises:
            ValueError: if a prompt is longer than `max_prompt_tokens`.
        """
        return Run(
            self.sizes,
            self.device,
            self.counts,
            self.grammar,
            weights,
            requests,
            lines,
            end=self.end,
            wait_every=self.wait_every,
            pixels=self.pixels,
        ).conversations()
