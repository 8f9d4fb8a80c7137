"""Chance that is the same on every version of Python: all draws go through random.Random.random."""

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draws from the stream that belongs to a text."""

    def __init__(self, text: str):
        self._uniform = random.Random(text).random

    def happens(self, probability: float) -> bool:
        return self._uniform() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, which must not be empty."""
        return options[int(self._uniform() * len(options))]

    def weighed(self, weights: Mapping[str, float]) -> str:
        """A key, as likely as its weight."""
        left = self._uniform() * sum(weights.values())
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        return key

    def whole(self, low: int, high: int) -> int:
        """A whole number, low and high included."""
        return low + int(self._uniform() * (high - low + 1))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        rest, drawn = list(items), []
        while rest:
            drawn.append(rest.pop(int(self._uniform() * len(rest))))
        return drawn
