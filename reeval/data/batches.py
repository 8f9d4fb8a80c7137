"""Packed training batches by grain: shuffled without end, resumable at any batch, and leaking nothing.

Several conversations share a row; `segments` tells them apart (0 is padding) and `positions` start anew with each.
"""

from collections.abc import Sequence
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
    process: int = 0,
    processes: int = 1,
) -> grain.IterDataset:
    """Batches without end, `rows` x `length` for this process, reshuffled every epoch.

    Each visit of a pair draws its mode: two-pass with probability `two_pass_share`.

    Returns:
        an IterDataset of dicts: tokens, targets, segments, positions [rows, length] int32 and weights float32.
        `targets` are the next tokens and `weights` weigh their loss.
    """

    def draw(modes: dict[str, Example], rng: np.random.Generator) -> dict[str, np.ndarray]:
        example = modes["two_pass" if rng.random() < two_pass_share else "one_pass"]
        return {"tokens": example.tokens[:-1], "targets": example.tokens[1:], "weights": example.weights[1:]}

    dataset = grain.MapDataset.source(examples).seed(seed).shuffle()[process::processes]
    stream = dataset.repeat().random_map(draw).to_iter_dataset()
    lengths = dict.fromkeys(("tokens", "targets", "weights"), length)
    rows_of = FirstFitPackIterDataset(stream, length_struct=lengths, num_packing_bins=_PACKING_BINS, seed=seed)
    return rows_of.map(_named).batch(rows)


def _named(row: dict[str, Any]) -> dict[str, np.ndarray]:
    return {
        "tokens": row["tokens"],
        "targets": row["targets"],
        "weights": row["weights"],
        "segments": row["tokens_segment_ids"],
        "positions": row["tokens_positions"],
    }
