"""Batches of conversations of similar length, each in a row of its own: for rows that packing cannot fill.

Packing wastes more the fewer conversations a row holds, and rows cannot grow where attention pays for their length or
memory ends. Here a batch is as long as its longest conversation needs, in a few steps (each is a compilation), and has
as many rows as make up for it. It wastes about half a step a conversation, and the rows that an epoch's last batch of
a length lacks. So it pays for conversations that differ little beside a step, or of which a row holds one or two.
"""

import dataclasses
from collections.abc import Callable, Collection, Sequence

import grain
import numpy as np
from grain.experimental import FlatMapIterDataset, FlatMapTransform

from reeval.data.conversation import Example
from reeval.data.pictures import Pictures
from reeval.data.rows import filled

# Lengths are multiples of this, as the blocks of attention and the tiles of chips are.
_LANE = 128
# Compilations, at the most.
_LENGTHS = 8
_EPOCHS = 2**31


@dataclasses.dataclass(frozen=True)
class Grouping:
    """The shapes of batches.

    Attributes:
        length, rows: of a micro-batch of the longest conversations; others have about as many tokens, and no more.
        accumulation: micro-batches of a batch.
        multiple: of which the rows of a micro-batch have to be one.
    """

    length: int
    rows: int
    accumulation: int
    multiple: int

    @property
    def lengths(self) -> list[int]:
        """Rising; the last is `length`."""
        step = _LANE * -(-self.length // (_LANE * _LENGTHS))
        return [*range(step, self.length, step), self.length]

    def rows_of(self, length: int) -> int:
        """Of a micro-batch of that length."""
        return self.multiple * (self.rows * self.length // length // self.multiple)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """A batch before its tokens: numbers and modes of its conversations, fewer than its rows at the end of an epoch."""

    length: int
    rows: int
    conversations: tuple[tuple[int, str], ...]


def grouped(
    examples: Sequence[dict[str, Example]],
    *,
    grouping: Grouping,
    two_pass_share: float,
    seed: int,
    own: Callable[[int], Collection[int]],
) -> grain.IterDataset:
    """Batches without end, each pair in one of an epoch's; dicts as `reeval.data.batches.packed` gives.

    An epoch's batches follow from `seed` and its number alone, so that an iterator's state is two numbers.

    Args:
        own: from the rows of a micro-batch to those of a batch whose images are wanted here.
    """
    # One image a conversation, one conversation a row.
    seen = Pictures(examples, 1, most=1)

    def marks(number: int, mode: str, tokens: np.ndarray) -> dict[str, np.ndarray]:
        return seen.marks(number, tokens)

    def batch(plan: _Plan) -> dict[str, np.ndarray]:
        shape = (plan.rows * grouping.accumulation, plan.length)
        made = filled([[one] for one in plan.conversations], examples, shape=shape, marks=marks)
        return made | seen.pixels(made, own(plan.rows))

    # Epochs are planned when they are reached: there is no end of them.
    epochs = grain.MapDataset.range(_EPOCHS).to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
    return FlatMapIterDataset(epochs, _Epochs(examples, grouping, two_pass_share, seed)).map(batch)


class _Epochs(FlatMapTransform):
    """From the number of an epoch to its batches."""

    def __init__(
        self, examples: Sequence[dict[str, Example]], grouping: Grouping, two_pass_share: float, seed: int
    ) -> None:
        self.max_fan_out = len(examples)
        self._examples, self._grouping, self._two_pass_share, self._seed = examples, grouping, two_pass_share, seed

    def flat_map(self, element: int) -> list[_Plan]:
        rng = np.random.default_rng((self._seed, int(element)))
        order = rng.permutation(len(self._examples))
        two_pass = rng.random(len(self._examples)) < self._two_pass_share
        drawn = [(int(n), "two_pass" if two_pass[n] else "one_pass") for n in order]
        sizes = [len(self._examples[n][mode].tokens) - 1 for n, mode in drawn]
        plans: list[_Plan] = []
        left: list[tuple[int, str]] = []
        shorter = 0
        lengths = self._grouping.lengths
        for length in lengths:
            rows = self._grouping.rows_of(length)
            many = rows * self._grouping.accumulation
            fit = left + [one for one, size in zip(drawn, sizes, strict=True) if shorter < size <= length]
            # Those that fill no batch go with the next longer ones.
            full = len(fit) if length == lengths[-1] else len(fit) - len(fit) % many
            plans += [_Plan(length, rows, tuple(fit[at : min(at + many, full)])) for at in range(0, full, many)]
            left, shorter = fit[full:], length
        return [plans[n] for n in rng.permutation(len(plans))]
