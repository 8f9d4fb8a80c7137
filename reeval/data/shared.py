"""Rows in which the instructions that all conversations of a mode begin with stand once.

A row begins with the instructions of each mode; each conversation stands there without them and continues those of its
mode: its tokens see them (`parents`) and count on from them (`positions`). Losses and gradients are those of whole
conversations, because what comes after it changes nothing in what an instruction's token is.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reeval.data.conversation import Example


class Shared:
    """What conversations share; a row's segments 1, 2, ... are the instructions of the modes in order.

    Attributes:
        length: tokens of all instructions, which every row has before its conversations.
    """

    def __init__(self, prefixes: Mapping[str, Sequence[int]]):
        """
        Args:
            prefixes: the tokens that all conversations of a mode begin with; of modes that training sees.
        """
        self._prefixes = [np.asarray(tokens, np.int32) for tokens in prefixes.values()]
        self._numbers = {mode: number for number, mode in enumerate(prefixes, start=1)}
        self.length = sum(map(len, self._prefixes))

    def without(self, examples: Sequence[dict[str, Example]]) -> list[dict[str, Example]]:
        """Conversations of the modes without what they share."""
        return [{mode: self._without(mode, modes[mode]) for mode in self._numbers} for modes in examples]

    def marks(self, mode: str, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """Which instructions each token of a conversation continues."""
        return {"parents": np.full(len(tokens), self._numbers[mode], np.int32)}

    def rows(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of packed conversations without what they share, with it before each row: [rows, length + ...]."""
        real = batch["segments"] > 0
        sizes = np.asarray([0, *map(len, self._prefixes)], np.int32)
        numbers = np.repeat(np.arange(1, len(sizes), dtype=np.int32), sizes[1:])
        batch = batch | {
            "segments": np.where(real, batch["segments"] + np.int32(len(self._prefixes)), 0),
            "positions": np.where(real, batch["positions"] + sizes[batch["parents"]], 0),
        }
        before = {
            "tokens": np.concatenate(self._prefixes),
            "segments": numbers,
            "parents": numbers,
            "positions": np.concatenate([np.arange(len(tokens), dtype=np.int32) for tokens in self._prefixes]),
        }

        def joined(name: str, value: np.ndarray) -> np.ndarray:
            head = before.get(name, np.zeros(self.length, value.dtype)).astype(value.dtype)
            return np.concatenate([np.broadcast_to(head, (len(value), self.length)), value], axis=1)

        return {name: value if name == "images" else joined(name, value) for name, value in batch.items()}

    def _without(self, mode: str, example: Example) -> Example:
        prefix = self._prefixes[self._numbers[mode] - 1]
        n = len(prefix)
        assert np.array_equal(example.tokens[:n], prefix) and not example.weights[: n + 1].any()
        return dataclasses.replace(example, tokens=example.tokens[n:], weights=example.weights[n:])
