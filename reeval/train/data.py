"""What a run learns from: labelled conversations, or preferences with what the run that it starts from gives them.

Each gives an endless iterator over batches, the id of the pair that each of its examples is of, and the segments that a
row has at most, where the objective needs them.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import hosts, sharding
from reeval import preferences as preference_files
from reeval.data import batches
from reeval.data.conversation import Conversation
from reeval.data.preferences import PreferredRows, Reference
from reeval.files import write_atomically
from reeval.lora import Parts
from reeval.pairs import Pair
from reeval.progress import progress
from reeval.prompts import MODES
from reeval.run import Run, file_sha256
from reeval.train.checkpoint import Checkpoints
from reeval.train.objective import verdict_losses

Own = Callable[[int], Collection[int]]


class Data(NamedTuple):
    batches: Any
    ids: list[str]
    segments: int = 0


def labelled_conversations(
    config: ConfigDict, mesh: Mesh, conversation: Conversation, labelled: Sequence[Pair], own: Own
) -> Data:
    """Raises ValueError if a pair does not fit."""
    examples = batches.training_examples(
        conversation,
        labelled,
        length=config.data.sequence_length,
        severity_weight=config.data.severity_weight,
    )
    stream = batches.stream(
        examples,
        batching=config.data.batching,
        length=config.data.sequence_length,
        rows=config.train.batch_size,
        accumulation=config.train.accumulation,
        multiple=sharding.batch_multiple(mesh),
        two_pass_share=config.data.two_pass_share,
        seed=config.train.seed,
        own=own,
        prefixes={mode: conversation.prefix(mode) for mode in MODES},
    )
    return Data(iter(stream), [pair.pair_id for pair in labelled])


def start_weights(config: ConfigDict, fresh: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The newest step of the run that a config starts from, and what it has trained, placed as `fresh` is.

    Raises:
        ValueError: if there is none, or it trained another judge.
    """
    if not config.start:
        raise ValueError("config.start is empty; name the working directory of the run to start from")
    before = Run(config, config.start)
    before.check_judge()
    return Checkpoints.newest_trained(before.checkpoints, fresh)


def preferences(
    run: Run,
    mesh: Mesh,
    conversation: Conversation,
    labelled: Sequence[Pair],
    parts: Parts,
    trained: dict[str, Any],
    base: nnx.State,
    own: Own,
) -> Data:
    """
    Args:
        trained: the weights that training starts from, whose policy is the reference.
    Raises:
        ValueError: if a preference is of no pair, or does not fit.
    """
    config = run.config
    by_id = {pair.pair_id: pair for pair in labelled}
    read = preference_files.read(config.data.preferences)
    unknown = sorted({each.pair_id for each in read} - set(by_id))
    if unknown:
        raise ValueError(
            f"{config.data.preferences}: {len(unknown)} of its pairs are not in {config.data.train}, such as "
            f"{unknown[0]!r}; give the pairs that it was made of"
        )
    examples = [conversation.preferred(p.mode, by_id[p.pair_id], p.chosen, p.rejected) for p in read]
    rows = PreferredRows(examples, length=config.data.sequence_length, seed=config.train.seed)
    reference = _reference(run, mesh, rows, len(read), parts, trained, base, own)
    total = config.train.accumulation * config.train.batch_size
    stream = rows.stream(total, reference, own(config.train.batch_size))
    return Data(iter(stream), [p.pair_id for p in read], rows.segments)


def _reference(
    run: Run,
    mesh: Mesh,
    rows: PreferredRows,
    count: int,
    parts: Parts,
    trained: dict[str, Any],
    base: nnx.State,
    own: Own,
) -> list[Reference]:
    """Log-probabilities of the policy that training starts from: computed once, and kept in `reference.npz`."""
    c = run.config
    whole = sharding.whole(mesh, trained)
    digest = hashlib.sha256()
    for name in sorted(whole):
        digest.update(name.encode() + np.asarray(whole[name]).tobytes())
    signature = {"start_sha256": digest.hexdigest(), "preferences_sha256": file_sha256(c.data.preferences)}
    path = run.workdir / "reference.npz"
    with hosts.first_before_others("the reference"):
        run.fetch()
        kept = _kept(path, signature, begun=any(run.checkpoints.glob("[0-9]*")))
    hosts.wait("all have looked for the reference")
    if kept is not None:
        return kept

    def score(trained: Any, base: nnx.State, batch: dict[str, jax.Array]) -> jax.Array:
        with sharding.activations(mesh, attention=c.train.attention):
            model = parts.assemble(trained, base)
            return -verdict_losses(model, batch, None, remat="none", chunk=c.train.loss_chunk)

    scored = jax.jit(score, out_shardings=sharding.replicated(mesh))
    found: dict[int, Reference] = {}
    with progress("reference", count, shown=hosts.first()) as advance:
        for numbers, batch in rows.once(c.train.batch_size, sharding.own_rows(mesh, c.train.batch_size)):
            batch.pop("examples")
            values = np.asarray(scored(trained, base, sharding.to_device(mesh, batch)))
            for row, of in enumerate(numbers):
                found.update(rows.of(of, values[row]))
            advance(len(found), "")
    made = [found[number] for number in range(count)]
    if hosts.first():
        file = io.BytesIO()
        lengths = np.asarray([[len(part) for part in each] for each in made])
        values = np.concatenate([part for each in made for part in each])
        np.savez(file, signature=json.dumps(signature), lengths=lengths, values=values)
        write_atomically(path, file.getvalue())
        run.send()
    return made


def _kept(path: Path, signature: dict[str, str], *, begun: bool) -> list[Reference] | None:
    """What a run computed before, None if nothing or, before it made a checkpoint, of others.

    Raises:
        ValueError: if the run has begun with another reference or other preferences, or the file is damaged.
    """
    if not path.is_file():
        if begun:
            raise ValueError(f"{path}: is missing, which the run began with; restore it or choose another --workdir")
        return None
    try:
        with np.load(path) as file:
            was, lengths, values = json.loads(str(file["signature"])), file["lengths"], file["values"]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile):
        raise ValueError(f"{path}: damaged; remove it, and it is computed again") from None
    if was != signature:
        if not begun:
            return None
        what = "config.start" if was["start_sha256"] != signature["start_sha256"] else "config.data.preferences"
        raise ValueError(f"{path}: the run began with another {what}; restore it or choose another --workdir")
    parts = np.split(values, np.cumsum(lengths.ravel())[:-1])
    return list(zip(parts[::2], parts[1::2], strict=True))
