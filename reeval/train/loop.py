"""THE training loop, top to bottom: mesh, judge, data, step, checkpoints, then step after step."""

import math
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tensorboardX import SummaryWriter

from reeval import hosts, lora, pairs, settings, sharding
from reeval.chips import peak_flops
from reeval.data import batches
from reeval.data.images import images_sha256
from reeval.models import remat
from reeval.models.attention import BACKENDS
from reeval.progress import progress
from reeval.prompts import MODES
from reeval.run import Run, add_adapters, load_base, sees_images
from reeval.train.arithmetic import flops_per_token
from reeval.train.checkpoint import Checkpoints
from reeval.train.profile import Profile
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
        hosts.Stopped: on SIGTERM, after a checkpoint of the step that was at work.
    """
    settings.check(config)
    c = config.train
    mesh = mesh or sharding.make_mesh(config.mesh)
    _check(config, mesh)
    labelled = pairs.read(config.data.train, labelled=True)
    run = Run(config, workdir)
    profile = Profile(run.workdir / "profile", config.profile.steps)
    images = sees_images(config, labelled)
    record = run.claim(mesh, images_sha256(labelled) if images else None)

    # The judge: adapter weights by name, over a base that stays as it is.
    model, conversation = load_base(config, mesh, images)
    add_adapters(config, model, mesh)
    parts, adapter, base = lora.take_apart(model)
    tied = model.config.tied
    del model

    # The data: rows of labelled conversations, the same on every process, drawn ahead of the steps.
    examples = batches.training_examples(
        conversation,
        labelled,
        length=config.data.sequence_length,
        severity_weight=config.data.severity_weight,
    )
    data = iter(
        batches.stream(
            examples,
            batching=config.data.batching,
            length=config.data.sequence_length,
            rows=c.batch_size,
            accumulation=c.accumulation,
            multiple=sharding.batch_multiple(mesh),
            two_pass_share=config.data.two_pass_share,
            seed=c.seed,
            own=partial(_own_rows, mesh, c.accumulation),
            prefixes={mode: conversation.prefix(mode) for mode in MODES},
        )
    )

    # The step.
    tx, schedule = optimizer_of(config)
    placement = state_placement(mesh, tx, adapter, jax.tree.map(lambda x: x.sharding, adapter))
    state = init_state(tx, adapter, placement)
    step_fn = make_train_step(parts, tx, schedule, mesh, placement, options_of(config))

    # The checkpoints: go on where the last one stands.
    checkpoints = Checkpoints(run.checkpoints)
    state = checkpoints.restore(state, data) or state
    start = int(state.step)
    writer = SummaryWriter(str(run.tensorboard / "train"), purge_step=start + 1, write_to_disk=hosts.first())
    step_tokens = c.accumulation * c.batch_size * config.data.sequence_length
    print(_sizes(base, state, examples, mesh, step_tokens, start))

    # Metrics are read one step late, so that the device never waits for the host.
    log = _Log(
        writer,
        every=c.log_every,
        token_share=_token_share(base, mesh, tied=tied),
    )
    pending: tuple[int, Any, list[str], int] | None = None
    shown_progress = progress("train", c.steps, done=start, shown=hosts.first())
    with closing(data), shown_progress as advance, hosts.Asked() as asked:
        for step in range(start + 1, c.steps + 1):
            rows = next(data)
            shown = [labelled[number - 1].pair_id for number in np.unique(rows.pop("examples")) if number]
            with profile.step(step):
                batch = sharding.to_device(mesh, _micro(rows, c.accumulation), leading=1)
                state, metrics = step_fn(state, base, batch)
            profile.after(step, metrics)
            if pending is not None:
                advance(*log.add(*pending))
            pending = (step, metrics, shown, rows["tokens"].size)
            stop = asked.by(step)
            if step % c.checkpoint_every == 0 or step == c.steps or stop:
                advance(*log.add(*pending))
                pending = None
                checkpoints.save(state, data, record)
                run.send()
            if stop and step < c.steps:
                profile.close()
                writer.close()
                run.send()
                raise hosts.Stopped(f"{workdir}: stopped at step {step} of {c.steps}, which is saved")
    profile.close()
    writer.close()
    checkpoints.close()
    run.send()
    return state


class _Log:
    """Means of the metrics over `every` steps, to TensorBoard."""

    def __init__(self, writer: SummaryWriter, *, every: int, token_share: float | None):
        """`token_share`: see `_token_share`."""
        self.writer, self.every, self.token_share = writer, every, token_share
        self.rows: list[dict[str, float]] = []
        self.tokens = 0.0
        self.since, self.speed = time.monotonic(), ""

    def add(self, step: int, metrics: dict[str, jax.Array], shown: list[str], size: int) -> tuple[int, str]:
        """Take in a step's metrics; gives the step and a note for the progress line.

        Args:
            shown: ids of the pairs that the step saw.
            size: of its batch in tokens, padding counted.
        """
        row = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not math.isfinite(row["loss"]) or not math.isfinite(row["gradient_norm"]):
            raise FloatingPointError(
                f"step {step}: the loss is {row['loss']}, the gradient norm {row['gradient_norm']}; lower "
                "config.train.learning_rate or config.train.clip_norm and start from the last checkpoint. The step "
                f"saw the pairs {', '.join(shown)}"
            )
        self.rows.append(row)
        self.tokens += size * (1.0 - row["padding"])
        if step % self.every == 0:
            now = time.monotonic()
            mean = {name: float(np.mean([r[name] for r in self.rows])) for name in row}
            mean["tokens_per_second"] = self.tokens / (now - self.since)
            speed = f", {mean['tokens_per_second']:,.0f} tokens/s"
            if self.token_share is not None:
                mean["share_of_peak"] = self.token_share * mean["tokens_per_second"]
                speed += f", {mean['share_of_peak']:.1%} of peak"
            for name, value in mean.items():
                self.writer.add_scalar(f"train/{name}", value, step)
            self.writer.flush()
            self.rows, self.tokens, self.since, self.speed = [], 0.0, now, speed
        return step, f"loss {row['loss']:.4f}{self.speed}"


def _token_share(base: nnx.State, mesh: Mesh, *, tied: bool) -> float | None:
    """What one token a second is of the devices' peak in bfloat16; None if that is not known."""
    peak = peak_flops(mesh.devices.flat[0].device_kind)
    return None if peak is None else flops_per_token(base, tied=tied) / (peak * mesh.size)


def _check(config: ConfigDict, mesh: Mesh) -> None:
    c, multiple = config.train, sharding.batch_multiple(mesh)
    if c.batch_size % multiple:
        raise ValueError(f"config.train.batch_size={c.batch_size} must be a multiple of {multiple} on this mesh")
    if c.remat not in remat.NAMES:
        raise ValueError(f"config.train.remat={c.remat!r} is not one of {', '.join(remat.NAMES)}")
    if c.attention not in BACKENDS:
        raise ValueError(f"config.train.attention={c.attention!r} is not one of {', '.join(BACKENDS)}")
    if c.warmup_steps >= c.steps:
        raise ValueError(f"config.train.warmup_steps={c.warmup_steps} must be less than config.train.steps={c.steps}")


def _own_rows(mesh: Mesh, accumulation: int, size: int) -> list[int]:
    """Of `accumulation` micro-batches, one after the other, the rows that lie on this process's devices."""
    own = sharding.own_rows(mesh, size)
    return [micro * size + row for micro in range(accumulation) for row in own]


def _micro(batch: dict[str, np.ndarray], accumulation: int) -> dict[str, np.ndarray]:
    """[A*B, ...] -> [A, B, ...]."""
    return {name: value.reshape(accumulation, -1, *value.shape[1:]) for name, value in batch.items()}


def _sizes(base: nnx.State, state: TrainState, examples: list[Any], mesh: Mesh, tokens: int, start: int) -> str:
    def megabytes(tree: Any) -> str:
        return f"{sum(x.nbytes for x in jax.tree.leaves(tree)) / 1e6:.1f} MB"

    return (
        f"base {megabytes(base)} (frozen), adapter {megabytes(state.adapter)}, optimizer {megabytes(state.optimizer)}; "
        f"{len(examples)} pairs, {tokens:,} tokens a step; mesh {dict(mesh.shape)}"
        + (f"; going on after step {start}" if start else "")
    )
