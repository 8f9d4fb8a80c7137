"""Training the embedded judge from scratch: tokenizer, model, data, step, and then the loop of all training."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import hosts, lora, settings, sharding
from reeval.from_scratch import data, objective, tokenizer
from reeval.from_scratch.evaluation import Evaluation
from reeval.from_scratch.optimizer import make_optimizer, schedule
from reeval.models.attention import BACKENDS
from reeval.models.qwen3 import Qwen3Config
from reeval.run import Run
from reeval.train.arithmetic import flops_per_token
from reeval.train.loop import step_after_step
from reeval.train.profile import Profile
from reeval.train.real_size import abstract_state, placed_by_name
from reeval.train.step import StepOptions, TrainState, init_state, make_train_step, state_placement

TOKENIZER = "tokenizer"


def train(config: ConfigDict, workdir: str | Path, *, mesh: Mesh | None = None) -> TrainState:
    """Train the judge of a config such as configs/embedded_judge.py, or go on where the run in `workdir` stopped; then
    print how much of the task it has learned.

    Args:
        mesh: by default the config's, over all devices.
    Returns:
        the state after the last step.
    Raises:
        ValueError: for a config that cannot be trained with.
        FloatingPointError: if the loss stops being a number; the last checkpoint is from before.
        hosts.Stopped: on SIGTERM, after a checkpoint of the step that was at work.
    """
    settings.check(config, tunings=["from_scratch"])
    c = config.train
    mesh = mesh or sharding.make_mesh(config.mesh)
    _check(config, mesh)
    run = Run(config, workdir)
    profile = Profile(run.workdir / "profile", config.profile.steps)
    record = run.claim(mesh)
    options = data_options(config)
    made = _tokenizer(run, options)

    # The model, on the mesh, and its parameters by name.
    model = objective.TaggedJudge(Qwen3Config(**config.model), data.TAGS, rngs=nnx.Rngs(c.seed))
    weights = nnx.state(model)
    nnx.update(model, jax.device_put(weights, sharding.state_shardings(mesh, weights)))
    flops = flops_per_token(nnx.state(model.judge), tied=model.judge.config.tied, frozen=False)
    parts, trained, rest = lora.take_apart(model, nnx.Param)
    print(f"{sum(x.size for x in trained.values()):,} parameters; mesh {dict(mesh.shape)}")

    # The step.
    tx, rate = _optimizer(config, trained)
    placement = state_placement(mesh, tx, trained, jax.tree.map(lambda x: x.sharding, trained))
    state = init_state(tx, trained, placement)
    step_fn = make_train_step(parts, tx, rate, mesh, placement, _step_options(config))

    with closing(data.Batches(made / tokenizer.FILES[0], options, c.steps, c.workers)) as batches:
        state = step_after_step(
            run,
            record,
            mesh,
            step_fn,
            state,
            rest,
            batches,
            profile,
            accumulation=1,
            flops=flops,
            pairs_of=lambda rows: [],  # they have no ids: the number of the step says which they were
        )
    learned = jax.tree.map(np.asarray, sharding.whole(mesh, state.trained)) if c.evaluation_pairs else {}
    if c.evaluation_pairs and hosts.first():
        judge = parts.assemble(jax.tree.map(jnp.asarray, learned), rest).judge
        shares = Evaluation(made, config.prompt, c.evaluation_pairs)(judge)
        print(json.dumps({"step": int(state.step), **shares}), flush=True)
    return state


def abstract_judge(config: ConfigDict) -> objective.TaggedJudge:
    """The model that is trained, as shapes."""
    made: objective.TaggedJudge = nnx.eval_shape(
        lambda: objective.TaggedJudge(Qwen3Config(**config.model), data.TAGS, rngs=nnx.Rngs(0))
    )
    return made


def trace_step(config: ConfigDict, mesh: Mesh) -> tuple[Any, tuple[Any, Any, Any]]:
    """The traced step and its arguments (state, rest, batch) as shapes with shardings."""
    _check(config, mesh)
    model = abstract_judge(config)
    parts, trained, rest = lora.take_apart(model, nnx.Param)
    tx, rate = _optimizer(config, trained)
    placement = state_placement(mesh, tx, trained, placed_by_name(mesh, nnx.state(model)))
    step = make_train_step(parts, tx, rate, mesh, placement, _step_options(config))
    batch = {
        name: jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding.batch_sharding(mesh, 3, leading=1))
        for name, value in data.empty_batch(1, config.data.rows, config.data.length).items()
    }
    arguments = (abstract_state(tx, trained, placement), rest, batch)
    return step.trace(*arguments), arguments


def data_options(config: ConfigDict) -> data.DataOptions:
    """What the pairs are that it learns from."""
    return data.DataOptions(**config.data, prompt=config.prompt, seed=config.train.seed)


def _optimizer(config: ConfigDict, trained: dict[str, Any]) -> tuple[optax.GradientTransformation, optax.Schedule]:
    c = config.train
    scale = schedule(c.steps, c.warmup)
    tx = make_optimizer(trained, scale, muon_rate=c.muon_rate, adam_rate=c.adam_rate)
    return tx, lambda count: c.muon_rate * scale(count)


def _step_options(config: ConfigDict) -> StepOptions:
    c = config.train
    return StepOptions(objective=objective.loss, seed=c.seed, attention=c.attention, dropout=False)


def _tokenizer(run: Run, options: data.DataOptions) -> Path:
    """The directory of the run's tokenizer, which is made once."""
    made = run.workdir / TOKENIZER
    with hosts.first_before_others("the tokenizer"):
        run.fetch()
        if not (made / tokenizer.FILES[-1]).is_file():
            made.mkdir(parents=True, exist_ok=True)
            bpe = tokenizer.train(run.config.model.vocab_size, options.prompt, options.seed)
            # Of a judge; conversations that are longer than a row of training are few, but there are some.
            tokenizer.save(bpe, made, max_length=2 * options.length)
            run.send()
    return made


def _check(config: ConfigDict, mesh: Mesh) -> None:
    multiple = sharding.batch_multiple(mesh)
    if config.data.rows % multiple:
        raise ValueError(f"config.data.rows={config.data.rows} must be a multiple of {multiple} on this mesh")
    if config.train.attention not in BACKENDS:
        raise ValueError(f"config.train.attention={config.train.attention!r} is not one of {', '.join(BACKENDS)}")
