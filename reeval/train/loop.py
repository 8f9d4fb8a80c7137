"""THE training loop, top to bottom: mesh, judge, data, step, checkpoints, then step after step."""

import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tensorboardX import SummaryWriter

from reeval import lora, pairs, settings, sharding
from reeval.data import batches
from reeval.data.images import images_sha256
from reeval.models import remat
from reeval.progress import progress
from reeval.run import Run, add_adapters, load_base, sees_images
from reeval.train.checkpoint import Checkpoints
from reeval.train.step import TrainState, init_state, make_train_step, optimizer_of, options_of, state_placement


def train(config: ConfigDict, workdir: str | Path, *, mesh: Mesh | None = None) -> TrainState:
    """Fine-tune the judge of a config, or go on where the run in `workdir` stopped.

    Args:
        mesh: by default the config's, over all devices.
    Returns:
        the state after the last step.
    Raises:
        ValueError: for a config or data that cannot be trained with.
        FloatingPointError: if the loss stops being a number; the last checkpoint is from before.
    """
    settings.check(config)
    c = config.train
    mesh = mesh or sharding.make_mesh(config.mesh)
    _check(config, mesh)
    labelled = pairs.read(config.data.train, labelled=True)
    run = Run(config, workdir)
    images = sees_images(config, labelled)
    record = run.claim(images_sha256(labelled) if images else None)

    # The judge: adapter weights by name, over a base that stays as it is.
    model, conversation = load_base(config, mesh, images)
    add_adapters(config, model, mesh)
    parts, adapter, base = lora.take_apart(model)
    del model

    # The data: packed rows of labelled conversations, this process's share.
    examples = batches.training_examples(
        conversation,
        labelled,
        length=config.data.sequence_length,
        severity_weight=config.data.severity_weight,
    )
    data = iter(
        batches.packed(
            examples,
            length=config.data.sequence_length,
            rows=c.accumulation * c.batch_size // jax.process_count(),
            two_pass_share=config.data.two_pass_share,
            seed=c.seed,
            process=jax.process_index(),
            processes=jax.process_count(),
        )
    )

    # The step.
    tx, schedule = optimizer_of(config)
    placement = state_placement(mesh, tx, adapter, jax.tree.map(lambda x: x.sharding, adapter))
    state = init_state(tx, adapter, placement)
    step_fn = make_train_step(parts, tx, schedule, mesh, placement, options_of(config))

    # The checkpoints: go on where the last one stands.
    checkpoints = Checkpoints(run.checkpoints)
    if checkpoints.latest_step is not None:
        state = checkpoints.restore(state, data)
    start = int(state.step)
    writer = SummaryWriter(str(run.tensorboard / "train"), purge_step=start + 1)
    print(_sizes(base, state, examples, mesh, start))

    # Metrics are read one step late, so that the device never waits for the host.
    log = _Log(writer, every=c.log_every, row_tokens=c.accumulation * c.batch_size * config.data.sequence_length)
    pending: tuple[int, Any] | None = None
    with progress("train", c.steps, done=start) as advance:
        for step in range(start + 1, c.steps + 1):
            batch = sharding.to_device(mesh, _micro(next(data), c.accumulation), leading=1)
            state, metrics = step_fn(state, base, batch)
            if pending is not None:
                advance(*log.add(*pending))
            pending = (step, metrics)
            if step % c.checkpoint_every == 0 or step == c.steps:
                advance(*log.add(*pending))
                pending = None
                checkpoints.save(state, data, record)
    writer.close()
    checkpoints.close()
    return state


class _Log:
    """Means of the metrics over `every` steps, to TensorBoard."""

    def __init__(self, writer: SummaryWriter, *, every: int, row_tokens: int):
        self.writer, self.every, self.row_tokens = writer, every, row_tokens
        self.rows: list[dict[str, float]] = []
        self.since = time.monotonic()

    def add(self, step: int, metrics: dict[str, jax.Array]) -> tuple[int, str]:
        """Take in a step's metrics; gives the step and a note for the progress line."""
        row = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not math.isfinite(row["loss"]) or not math.isfinite(row["gradient_norm"]):
            raise FloatingPointError(
                f"step {step}: the loss is {row['loss']}, the gradient norm {row['gradient_norm']}; lower "
                "config.train.learning_rate or config.train.clip_norm and start from the last checkpoint"
            )
        self.rows.append(row)
        if step % self.every == 0:
            now = time.monotonic()
            mean = {name: float(np.mean([r[name] for r in self.rows])) for name in row}
            tokens = len(self.rows) * self.row_tokens * (1.0 - mean["padding"])
            mean["tokens_per_second"] = tokens / (now - self.since)
            for name, value in mean.items():
                self.writer.add_scalar(f"train/{name}", value, step)
            self.writer.flush()
            self.rows, self.since = [], now
        return step, f"loss {row['loss']:.4f}"


def _check(config: ConfigDict, mesh: Mesh) -> None:
    c, multiple = config.train, math.lcm(sharding.batch_multiple(mesh), jax.process_count())
    if c.batch_size % multiple:
        raise ValueError(f"config.train.batch_size={c.batch_size} must be a multiple of {multiple} on this mesh")
    if c.loss_chunk and config.data.sequence_length % c.loss_chunk:
        raise ValueError(f"config.train.loss_chunk={c.loss_chunk} must divide config.data.sequence_length")
    if c.remat not in remat.NAMES:
        raise ValueError(f"config.train.remat={c.remat!r} is not one of {', '.join(remat.NAMES)}")
    if c.warmup_steps >= c.steps:
        raise ValueError(f"config.train.warmup_steps={c.warmup_steps} must be less than config.train.steps={c.steps}")


def _micro(batch: dict[str, np.ndarray], accumulation: int) -> dict[str, np.ndarray]:
    """[A*B, ...] -> [A, B, ...]."""
    return {name: value.reshape(accumulation, -1, *value.shape[1:]) for name, value in batch.items()}


def _sizes(base: nnx.State, state: TrainState, examples: list[Any], mesh: Mesh, start: int) -> str:
    def megabytes(tree: Any) -> str:
        return f"{sum(x.nbytes for x in jax.tree.leaves(tree)) / 1e6:.1f} MB"

    return (
        f"base {megabytes(base)} (frozen), adapter {megabytes(state.adapter)}, optimizer {megabytes(state.optimizer)}; "
        f"{len(examples)} pairs; mesh {dict(mesh.shape)}" + (f"; going on after step {start}" if start else "")
    )
