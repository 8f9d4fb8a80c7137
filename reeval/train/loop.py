"""THE training loop, top to bottom: mesh, judge, data, step, checkpoints, then step after step."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import hosts, lora, pairs, settings, sharding
from reeval.chips import peak_flops
from reeval.data.images import images_sha256
from reeval.models import remat
from reeval.models.attention import BACKENDS
from reeval.progress import progress
from reeval.run import Run, add_adapters, load_base, sees_images, trained_weights
from reeval.train.arithmetic import flops_per_token
from reeval.train.checkpoint import Checkpoints
from reeval.train.data import labelled_conversations, preferences, start_weights
from reeval.train.log import Log
from reeval.train.preference import Preference
from reeval.train.profile import Profile
from reeval.train.scalars import Scalars
from reeval.train.step import TrainState, init_state, make_train_step, optimizer_of, options_of, state_placement

# At the weights that are trained after a step; says whether it broke off, as it was asked to stop.
Look = Callable[[int, Any, hosts.Asked], bool]


def train(
    config: ConfigDict,
    workdir: str | Path,
    *,
    mesh: Mesh | None = None,
    judging: Callable[..., Look] | None = None,
) -> TrainState:
    """Fine-tune the judge of a config, or go on where the run in `workdir` stopped.

    Args:
        mesh: by default the config's, over all devices.
        judging: makes what looks at the judge every `config.eval.every` steps, see `reeval.evaluate.intervals`.
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

    # The judge: trained weights by name, and the rest, which stays as it is.
    model, conversation = load_base(config, mesh, images)
    flops = flops_per_token(nnx.state(model), tied=model.config.tied, frozen=config.tuning == "lora")
    add_adapters(config, model, mesh)
    parts, trained, base = lora.take_apart(model, trained_weights(config))
    del model

    # The data: rows of conversations, the same on every process, drawn ahead of the steps.
    own = partial(_own_rows, mesh, c.accumulation)
    if config.objective == "dpo":
        _, trained = start_weights(config, trained)
        data, ids, segments = preferences(run, mesh, conversation, labelled, parts, trained, base, own)
    else:
        data, ids, segments = labelled_conversations(config, mesh, conversation, labelled, own)

    looks = judging is not None and config.eval.every
    look = judging(run, mesh, conversation, parts, trained, base) if judging is not None and looks else None

    # The step.
    tx, schedule = optimizer_of(config)
    placement = state_placement(mesh, tx, trained, jax.tree.map(lambda x: x.sharding, trained))
    state = init_state(tx, trained, placement)
    step_fn = make_train_step(parts, tx, schedule, mesh, placement, options_of(config, segments=segments))

    def pairs_of(rows: dict[str, np.ndarray]) -> list[str]:
        # Several preferences may be of one pair.
        return list(dict.fromkeys(ids[number - 1] for number in np.unique(rows.pop("examples")) if number))

    tokens = f"{c.accumulation * c.batch_size * config.data.sequence_length:,} tokens a step"
    many = f"{len(ids)} {'preferences' if config.objective == 'dpo' else 'pairs'}"
    print(f"{_sizes(base, state)}; {many}, {tokens}; mesh {dict(mesh.shape)}")
    with closing(data):
        return step_after_step(
            run,
            record,
            mesh,
            step_fn,
            state,
            base,
            data,
            profile,
            accumulation=c.accumulation,
            flops=flops,
            pairs_of=pairs_of,
            look=look,
        )


def step_after_step(
    run: Run,
    record: dict[str, Any],
    mesh: Mesh,
    step_fn: Any,
    state: TrainState,
    base: nnx.State,
    data: Any,
    profile: Profile,
    *,
    accumulation: int,
    flops: float,
    pairs_of: Callable[[dict[str, np.ndarray]], list[str]],
    look: Look | None = None,
) -> TrainState:
    """From the newest checkpoint, or from `state`, to the last step of the run's config.

    Args:
        record: what every checkpoint says of the run.
        step_fn: as `make_train_step` gives it.
        state: before the first step; used up.
        data: an iterator over batches [accumulation * B, ...] with get_state and set_state, the same on all processes.
        flops: that training needs for a token.
        pairs_of: takes out of a batch what the device does not need, and gives the ids of its pairs.
        look: taken every `eval.every` steps.
    Raises:
        FloatingPointError: if the loss stops being a number; the last checkpoint is from before.
        hosts.Stopped: on SIGTERM, after a checkpoint of the step that was at work.
    """
    c = run.config.train
    checkpoints = Checkpoints(run.checkpoints)
    state = checkpoints.restore(state, data) or state
    start = int(state.step)
    if start:
        print(f"going on after step {start}")
    peak = peak_flops(mesh.devices.flat[0].device_kind)
    share = None if peak is None else flops / (peak * mesh.size)

    # Metrics are read one step late, so that the device never waits for the host.
    pending: tuple[int, Any, list[str], int] | None = None
    with (
        closing(Scalars(run.tensorboard / "train", after=start, written=hosts.first())) as scalars,
        progress("train", c.steps, done=start, shown=hosts.first()) as advance,
        hosts.Asked() as asked,
    ):
        log = Log(scalars, every=c.log_every, token_share=share)
        for step in range(start + 1, c.steps + 1):
            rows = next(data)
            shown = pairs_of(rows)
            with profile.step(step):
                batch = sharding.to_device(mesh, _micro(rows, accumulation), leading=1)
                state, metrics = step_fn(state, base, batch)
            profile.after(step, metrics)
            if pending is not None:
                advance(*log.add(*pending))
            pending = (step, metrics, shown, rows["tokens"].size)
            stop = asked.now()
            if look is not None and not stop and step % run.config.eval.every == 0:
                with log.paused():
                    stop = look(step, state.trained, asked)
            if step % c.checkpoint_every == 0 or step == c.steps or stop:
                advance(*log.add(*pending))
                pending = None
                checkpoints.save(state, data, record)
                run.send()
            if stop and step < c.steps:
                profile.close()
                run.send()
                raise hosts.Stopped(f"{run.name}: stopped at step {step} of {c.steps}, which is saved")
    profile.close()
    checkpoints.close()
    run.send()
    return state


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
    if config.objective == "dpo":
        Preference(**config.preference)


def _own_rows(mesh: Mesh, accumulation: int, size: int) -> list[int]:
    """Of `accumulation` micro-batches, one after the other, the rows that lie on this process's devices."""
    own = sharding.own_rows(mesh, size)
    return [micro * size + row for micro in range(accumulation) for row in own]


def _micro(batch: dict[str, np.ndarray], accumulation: int) -> dict[str, np.ndarray]:
    """[A*B, ...] -> [A, B, ...]."""
    return {name: value.reshape(accumulation, -1, *value.shape[1:]) for name, value in batch.items()}


def _sizes(base: nnx.State, state: TrainState) -> str:
    sizes = {"base": base, "trained": state.trained, "optimizer": state.optimizer}
    megabytes = {name: sum(x.nbytes for x in jax.tree.leaves(tree)) / 1e6 for name, tree in sizes.items()}
    return ", ".join(f"{name} {size:.1f} MB" for name, size in megabytes.items())
