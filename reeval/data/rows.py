"""Rows of conversations as arrays: what batches are before their images are read."""

from collections.abc import Callable, Sequence

import numpy as np

from reeval.data.conversation import Example

# Numbers and modes of the conversations of a row, in order.
Row = Sequence[tuple[int, str]]


def filled(
    rows: Sequence[Row],
    examples: Sequence[dict[str, Example]],
    *,
    shape: tuple[int, int],
    marks: Callable[[int, str, np.ndarray], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Conversations end to end in their rows, and zeros after them.

    Args:
        rows: as many as `shape` says or fewer, not all of them empty.
        shape: rows and their length, in which each of them has room.
        marks: from a conversation's number, mode and inputs to what else is said of each of its tokens.
    Returns:
        tokens, targets, segments, positions, examples int32, weights float32 and the marks, all of `shape`; see
        `reeval.data.batches.packed`.
    """
    made: dict[str, np.ndarray] = {}
    for at, row in enumerate(rows):
        start = 0
        for segment, (number, mode) in enumerate(row, start=1):
            example = examples[number][mode]
            tokens = example.tokens[:-1]
            n = len(tokens)
            values = {
                "tokens": tokens,
                "targets": example.tokens[1:],
                "weights": example.weights[1:],
                "segments": np.full(n, segment, np.int32),
                "positions": np.arange(n, dtype=np.int32),
                "examples": np.full(n, number + 1, np.int32),
            } | marks(number, mode, tokens)
            for name, value in values.items():
                if name not in made:
                    made[name] = np.zeros(shape, value.dtype)
                made[name][at, start : start + n] = value
            start += n
    return made
