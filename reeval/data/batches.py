"""Packed training batches by grain: shuffled without end, resumable at any batch, and leaking nothing.

Several conversations share a row; `segments` tells them apart (0 is padding) and `positions` start anew with each.
Images are read when the batch that shows them is drawn.
"""

from collections.abc import Collection, Sequence
from typing import Any

import grain
import numpy as np
from grain.experimental import FirstFitPackIterDataset

from reeval.data.conversation import Conversation, Example
from reeval.pairs import Pair
from reeval.prompts import MODES

# Rows open at a time: enough that little is padding, few enough that restoring an iterator replays little.
_PACKING_BINS = 32


def training_examples(
    conversation: Conversation, pairs: Sequence[Pair], *, length: int, severity_weight: float
) -> list[dict[str, Example]]:
    """Each pair's conversation in each mode.

    Raises:
        ValueError: naming the pairs that do not fit into `length` tokens.
    """
    examples = []
    too_long: list[tuple[str, int]] = []
    for pair in pairs:
        modes = {mode: conversation.example(mode, pair, severity_weight=severity_weight) for mode in MODES}
        longest = max(len(example.tokens) for example in modes.values()) - 1
        if longest > length:
            too_long.append((pair.pair_id, longest))
        examples.append(modes)
    if too_long:
        shown = ", ".join(f"{pair_id} ({n} tokens)" for pair_id, n in too_long[:5])
        raise ValueError(
            f"{len(too_long)} of {len(pairs)} pairs do not fit into data.sequence_length={length}: {shown}"
            f"{', ...' if len(too_long) > 5 else ''}; raise it to {max(n for _, n in too_long)} or leave them out"
        )
    return examples


def packed(
    examples: Sequence[dict[str, Example]],
    *,
    length: int,
    rows: int,
    two_pass_share: float,
    seed: int,
    own: Collection[int] | None = None,
) -> grain.IterDataset:
    """Batches without end, `rows` x `length`, reshuffled every epoch; the same on all processes of a run.

    Each visit of a pair draws its mode: two-pass with probability `two_pass_share`.

    Args:
        own: rows whose images are wanted here; None wants all. Others get zeros, and their files are not read.
    Returns:
        an IterDataset of dicts: tokens, targets, segments, positions, examples [rows, length] int32 and weights
        float32. `targets` are the next tokens, `weights` weigh their loss, and `examples` says which of `examples`
        a token is of, from 1. If any example has an image also images [rows, I, channels, side, side] float32: those
        of a row in the order of its image tokens, and zeros up to I, which is how many a row can hold.
    """
    seen = _Images(examples, length)
    wanted = range(rows) if own is None else own

    def draw(item: tuple[int, dict[str, Example]], rng: np.random.Generator) -> dict[str, np.ndarray]:
        number, modes = item
        example = modes["two_pass" if rng.random() < two_pass_share else "one_pass"]
        tokens = example.tokens[:-1]
        drawn = {
            "tokens": tokens,
            "targets": example.tokens[1:],
            "weights": example.weights[1:],
            "examples": np.full(len(tokens), number + 1, np.int32),
        }
        return drawn | seen.marks(number, tokens)

    def named(batch: dict[str, Any]) -> dict[str, np.ndarray]:
        return _named(batch) | seen.pixels(batch, wanted)

    # The slice takes all: grain makes seeds from the number of steps before, and runs were made with this many.
    dataset = grain.MapDataset.source(list(enumerate(examples))).seed(seed).shuffle()[:]
    stream = dataset.repeat().random_map(draw).to_iter_dataset()
    lengths = dict.fromkeys(("tokens", "targets", "weights", "examples", *seen.features), length)
    rows_of = FirstFitPackIterDataset(stream, length_struct=lengths, num_packing_bins=_PACKING_BINS, seed=seed)
    return rows_of.batch(rows).map(named)


class _Images:
    """The images of examples on their way through packing: as numbers at their tokens, then as pixels of a row."""

    def __init__(self, examples: Sequence[dict[str, Example]], length: int):
        conversations = [example for modes in examples for example in modes.values() if example.image is not None]
        self._by_number = {n: modes["one_pass"].image for n, modes in enumerate(examples) if modes["one_pass"].image}
        # Of a row that packing fills with the shortest of them.
        self._most = length // min(len(example.tokens) - 1 for example in conversations) if conversations else 0
        self.features = ("images",) if conversations else ()

    def marks(self, number: int, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """At each image token of an example its number, counted from 1, and 0 elsewhere."""
        image = self._by_number.get(number)
        at = np.zeros(len(tokens), bool) if image is None else tokens == image.processor.token
        return {name: np.where(at, np.int32(number + 1), np.int32(0)) for name in self.features}

    def pixels(self, batch: dict[str, Any], wanted: Collection[int]) -> dict[str, np.ndarray]:
        """The images of a batch's rows; zeros in those that are not wanted."""
        if not self.features:
            return {}
        first = next(iter(self._by_number.values()))
        images = np.zeros((len(batch["images"]), self._most, *first.processor.shape), np.float32)
        for row in wanted:
            marks = batch["images"][row]
            # Text stands between any two images, so that each begins after a 0.
            (begins,) = np.nonzero((marks > 0) & (np.diff(marks, prepend=0) != 0))
            for slot, at in enumerate(begins):
                images[row, slot] = self._by_number[marks[at] - 1].pixels()
        return {"images": images}


def _named(row: dict[str, Any]) -> dict[str, np.ndarray]:
    return {
        "tokens": row["tokens"],
        "targets": row["targets"],
        "weights": row["weights"],
        "examples": row["examples"],
        "segments": row["tokens_segment_ids"],
        "positions": row["tokens_positions"],
    }
