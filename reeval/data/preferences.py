"""Rows of preferences: a prompt stands once, and the chosen and the rejected answer both go on from it.

A preference is three segments of a row, 3n + 1 the prompt, 3n + 2 the chosen and 3n + 3 the rejected answer; both see
the prompt (`parents`) and not each other, and count on from it (`positions`). So the prompt is computed once, and the
log-probabilities are those of two whole conversations. Letters: T time.
"""

from collections.abc import Collection, Iterator, Sequence

import grain
import numpy as np
from grain.experimental import ThreadPrefetchIterDataset

from reeval.data.conversation import Example, Preferred
from reeval.data.packing import PackedRows
from reeval.data.pictures import Pictures
from reeval.prompts import MODES

# Log-probabilities of the tokens of a preference's chosen and rejected answer, float32.
Reference = tuple[np.ndarray, np.ndarray]
_SEGMENTS = 3
_AHEAD = 2


class PreferredRows:
    """Batches of preferences.

    Attributes:
        segments: that a row has at most.
    """

    def __init__(self, examples: Sequence[Preferred], *, length: int, seed: int):
        """
        Raises:
            ValueError: if some do not fit into `length` tokens.
        """
        sizes = [_size(example) for example in examples]
        long = [n for n in sizes if n > length]
        if long:
            raise ValueError(
                f"{len(long)} of {len(sizes)} preferences do not fit into data.sequence_length={length}; raise it to "
                f"{max(long)} or leave them out"
            )
        self._examples, self._length = examples, length
        # The mode of a preference is in its tokens; what packing draws means nothing here.
        alike = [dict.fromkeys(MODES, n) for n in sizes]
        self._packed = PackedRows(alike, length=length, two_pass_share=0.0, seed=seed)
        self.segments = _SEGMENTS * (length // min(sizes))
        self._seen = Pictures([{"": _whole(example)} for example in examples], length)

    def stream(self, rows: int, reference: Sequence[Reference], own: Collection[int]) -> grain.IterDataset:
        """Batches of `rows` without end, reshuffled every epoch; the same on all processes of a run.

        Args:
            reference: of each example.
            own: rows whose images are wanted here.
        Returns:
            an IterDataset of dicts as `reeval.data.batches.packed` gives them with parents, `examples` counting the
            preferences, and `reference` [rows, T] float32 beside: what the reference gives each target of an answer.
        """

        def batch(drawn: Sequence[Sequence[tuple[int, str]]]) -> dict[str, np.ndarray]:
            return self._filled(rows, [[number for number, _ in row] for row in drawn], reference, own)

        drawn = self._packed.batch(rows, batch_fn=list).map(batch)
        return ThreadPrefetchIterDataset(drawn, prefetch_buffer_size=_AHEAD)

    def once(self, rows: int, own: Collection[int]) -> Iterator[tuple[list[list[int]], dict[str, np.ndarray]]]:
        """Each preference once: the numbers of those in each row of a batch, and the batch, without a reference."""
        drawn = [[number for number, _ in row] for row in self._packed.epoch(0)]
        for at in range(0, len(drawn), rows):
            some = drawn[at : at + rows]
            yield some, self._filled(rows, some, None, own)

    def of(self, numbers: Sequence[int], values_T: np.ndarray) -> Iterator[tuple[int, Reference]]:
        """What a row of these preferences holds of each of them, at the targets of their answers."""
        at = 0
        for number in numbers:
            example = self._examples[number]
            at += len(example.prompt)
            parts = []
            for answer in (example.chosen, example.rejected):
                n = len(answer.tokens) - 1
                parts.append(np.where(answer.weights[1:] != 0, values_T[at : at + n], np.float32(0)))
                at += n
            yield number, (parts[0], parts[1])

    def _filled(
        self,
        rows: int,
        drawn: Sequence[Sequence[int]],
        reference: Sequence[Reference] | None,
        own: Collection[int],
    ) -> dict[str, np.ndarray]:
        shape = (rows, self._length)
        names = ("tokens", "targets", "segments", "positions", "parents", "examples", *self._seen.features)
        made: dict[str, np.ndarray] = {name: np.zeros(shape, np.int32) for name in names}
        made |= {name: np.zeros(shape, np.float32) for name in ("weights", "reference")}
        for row, numbers in enumerate(drawn):
            at = 0
            for place, number in enumerate(numbers):
                example = self._examples[number]
                first, size = _SEGMENTS * place + 1, len(example.prompt)
                pieces: list[tuple[np.ndarray, dict[str, np.ndarray], int]] = [(example.prompt, {}, 0)]
                for which, answer in enumerate((example.chosen, example.rejected)):
                    values = {"targets": answer.tokens[1:], "weights": answer.weights[1:]}
                    if reference is not None:
                        values["reference"] = reference[number][which]
                    pieces.append((answer.tokens[:-1], values, size))
                for segment, (tokens, values, start) in enumerate(pieces, start=first):
                    to = slice(at, at + len(tokens))
                    at = to.stop
                    said = {
                        "tokens": tokens,
                        "segments": segment,
                        "parents": first,
                        "positions": np.arange(start, start + len(tokens)),
                        "examples": number + 1,
                    }
                    for name, value in (said | values | self._seen.marks(number, tokens)).items():
                        made[name][row, to] = value
        return made | self._seen.pixels(made, own)


def _whole(example: Preferred) -> Example:
    """As long as the preference is in a row, and with its image."""
    tokens = np.concatenate([example.prompt, example.chosen.tokens, example.rejected.tokens[1:]])
    return Example(tokens, np.zeros(len(tokens), np.float32), example.image)


def _size(example: Preferred) -> int:
    return len(example.prompt) + len(example.chosen.tokens) + len(example.rejected.tokens) - 2
