"""Training batches by grain: shuffled without end, resumable at any batch, and leaking nothing.

Packed, several conversations share a row; shared, their instructions, too, see `reeval.data.shared`; grouped, each has
a row to itself, see `reeval.data.grouped`. `segments` tells conversations apart (0 is padding) and `positions` start
anew with each. A thread draws batches, and reads their images, before they are asked for.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import grain
import numpy as np
from grain.experimental import ThreadPrefetchIterDataset

from reeval.data.conversation import Conversation, Example
from reeval.data.grouped import Grouping, grouped
from reeval.data.packing import PackedRows
from reeval.data.pictures import Pictures
from reeval.data.rows import Row, filled
from reeval.data.shared import Shared
from reeval.pairs import Pair
from reeval.prompts import MODES

# Batches that are drawn before they are asked for: a slow image or two, and no more memory than that.
_AHEAD = 2


def stream(
    examples: Sequence[dict[str, Example]],
    *,
    batching: str,
    length: int,
    rows: int,
    accumulation: int,
    multiple: int,
    two_pass_share: float,
    seed: int,
    own: Callable[[int], Collection[int]],
    prefixes: Mapping[str, Sequence[int]],
) -> grain.IterDataset:
    """Batches without end for `accumulation` micro-batches of `rows` x `length` tokens; the same on all processes.

    Args:
        batching: "packed", see `packed`; "shared", with `prefixes` once a row; or "grouped", see `reeval.data.grouped`.
        multiple: of which the rows of a micro-batch have to be one.
        own: from the rows of a micro-batch to those of a batch whose images are wanted here.
        prefixes: what all conversations of a mode begin with.
    Returns:
        dicts as `packed` gives. What an iterator gives as its state is that of the batches that were taken, however
        many more are drawn.
    """
    if batching == "grouped":
        grouping = Grouping(length, rows, accumulation, multiple)
        drawn = grouped(examples, grouping=grouping, two_pass_share=two_pass_share, seed=seed, own=own)
    else:
        total, wanted = accumulation * rows, own(rows)
        shared = None
        if batching == "shared":
            shares = {"one_pass": 1 - two_pass_share, "two_pass": two_pass_share}
            shared = Shared({mode: prefixes[mode] for mode in MODES if shares[mode]})
        drawn = packed(
            examples, length=length, rows=total, two_pass_share=two_pass_share, seed=seed, own=wanted, shared=shared
        )
    return ThreadPrefetchIterDataset(drawn, prefetch_buffer_size=_AHEAD)


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
    shared: Shared | None = None,
) -> grain.IterDataset:
    """Batches without end, `rows` x `length`, reshuffled every epoch; the same on all processes of a run.

    Each visit of a pair draws its mode: two-pass with probability `two_pass_share`. Of the shipped pairs less than 2 %
    is padding where any packing can reach that, in rows of 480 tokens as in those of 4,096; see docs/performance.md.

    Args:
        own: rows whose images are wanted here; None wants all. Others get zeros, and their files are not read.
        shared: what stands once in a row.
    Returns:
        an IterDataset of dicts: tokens, targets, segments, positions, examples [rows, length] int32 and weights
        float32. `targets` are the next tokens, `weights` weigh their loss, and `examples` says which of `examples`
        a token is of, from 1. If any example has an image also images [rows, I, channels, side, side] float32: those
        of a row in the order of its image tokens, and zeros up to I, which is how many a row can hold. With `shared`
        also parents, as `Decoder.hidden` takes them.
    Raises:
        ValueError: if what is shared leaves no room for a conversation.
    """
    if shared is not None:
        examples, length = shared.without(examples), length - shared.length
        longest = max(len(example.tokens) - 1 for modes in examples for example in modes.values())
        if longest > length:
            raise ValueError(
                f"data.sequence_length={length + shared.length} has no room for a conversation of {longest} tokens "
                f"after the {shared.length} of the instructions; raise it to {longest + shared.length}, or set "
                'data.batching="packed"'
            )
    seen = Pictures(examples, length)
    wanted = range(rows) if own is None else own

    def marks(number: int, mode: str, tokens: np.ndarray) -> dict[str, np.ndarray]:
        return seen.marks(number, tokens) | (shared.marks(mode, tokens) if shared else {})

    def batch(drawn: Sequence[Row]) -> dict[str, np.ndarray]:
        made = filled(drawn, examples, shape=(rows, length), marks=marks)
        made |= seen.pixels(made, wanted)
        return shared.rows(made) if shared else made

    sizes = [{mode: len(example.tokens) - 1 for mode, example in modes.items()} for modes in examples]
    drawn = PackedRows(sizes, length=length, two_pass_share=two_pass_share, seed=seed)
    return drawn.batch(rows, batch_fn=list).map(batch)
