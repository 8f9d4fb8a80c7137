"""The training step: a pure function of (state, base, batch), jitted once with every placement given.

Shape letters: A accumulated micro-batches, B batch, T time.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import sharding
from reeval.lora import Parts
from reeval.train.objective import Objective, preference_loss, sft_loss
from reeval.train.preference import Preference


class TrainState(NamedTuple):
    """What training changes: the step, trained weights by name, and the optimizer's state over them.

    Also the same tree of their shapes or shardings.
    """

    step: Any
    trained: Any
    optimizer: Any


@dataclasses.dataclass(frozen=True)
class StepOptions:
    objective: Objective
    seed: int
    attention: str
    dropout: bool


def options_of(config: ConfigDict, *, segments: int = 0) -> StepOptions:
    """What the step needs of a config.

    Args:
        segments: of preferences, how many a row has at most.
    """
    how = {"remat": config.train.remat, "chunk": config.train.loss_chunk}
    objective: Objective = partial(sft_loss, **how)
    if config.objective == "dpo":
        objective = partial(preference_loss, options=Preference(**config.preference), segments=segments, **how)
    return StepOptions(
        objective=objective,
        seed=config.train.seed,
        attention=config.train.attention,
        # A policy is held against its reference, which knows no dropout.
        dropout=config.tuning == "lora" and config.objective == "sft" and config.lora.dropout > 0,
    )


def optimizer_of(config: ConfigDict) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """AdamW after clipping by the global norm, under linear warm-up and cosine decay; and the schedule by itself."""
    c = config.train
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=c.learning_rate,
        warmup_steps=c.warmup_steps,
        decay_steps=c.steps,
        end_value=c.final_learning_rate,
    )
    adamw = optax.adamw(schedule, b1=c.b1, b2=c.b2, weight_decay=c.weight_decay)
    return optax.chain(optax.clip_by_global_norm(c.clip_norm), adamw), schedule


def state_placement(mesh: Mesh, tx: optax.GradientTransformation, trained: Mapping[str, Any], placed: Any) -> Any:
    """The shardings of a TrainState: each moment lies where its parameter does.

    Args:
        trained: weights by name, or their shapes.
        placed: the sharding of each.
    """
    whole = sharding.replicated(mesh)

    def place(path: Any, leaf: Any) -> Any:
        # By name and shape: optax's own way knows no optimizer that is several, as Muon is with its Adam.
        name = next((key.key for key in reversed(path) if getattr(key, "key", None) in placed), None)
        return placed[name] if name is not None and leaf.shape == trained[name].shape else whole

    return TrainState(whole, placed, jax.tree.map_with_path(place, jax.eval_shape(tx.init, trained)))


def init_state(tx: optax.GradientTransformation, trained: Any, placement: TrainState) -> TrainState:
    """The state before the first step, placed so that the step compiles once."""
    make = jax.jit(lambda x: TrainState(jnp.zeros((), jnp.int32), x, tx.init(x)), out_shardings=placement)
    return make(trained)


def make_train_step(
    parts: Parts,
    tx: optax.GradientTransformation,
    schedule: optax.Schedule,
    mesh: Mesh,
    placement: TrainState,
    options: StepOptions,
) -> Any:
    """The jitted step: (state, base, batch [A, B, ...]) -> (state, metrics), the state donated.

    The gradient is that of the loss summed over all micro-batches and divided by their summed weights, so that
    accumulating changes nothing but memory.
    """

    def loss(trained: Any, base: nnx.State, micro: dict[str, jax.Array], key: jax.Array | None) -> Any:
        with sharding.activations(mesh, attention=options.attention):
            return options.objective(parts.assemble(trained, base), micro, key)

    def step(state: TrainState, base: nnx.State, batch: dict[str, jax.Array]) -> Any:
        step_key = jax.random.fold_in(jax.random.key(options.seed), state.step)

        def accumulate(gradient: Any, xs: Any) -> tuple[Any, Any]:
            micro, index = xs
            key = jax.random.fold_in(step_key, index) if options.dropout else None
            new, sums = jax.grad(loss, has_aux=True)(state.trained, base, micro, key)
            return jax.tree.map(jnp.add, gradient, new), sums

        zeros = jax.tree.map(jnp.zeros_like, state.trained)
        count = batch["tokens"].shape[0]
        gradient, sums = jax.lax.scan(accumulate, zeros, (batch, jnp.arange(count)))

        sums = {name: (jnp.sum(total), jnp.maximum(jnp.sum(by), 1e-9)) for name, (total, by) in sums.items()}
        gradient = jax.tree.map(lambda g: g / sums["loss"][1], gradient)
        updates, optimizer = tx.update(gradient, state.optimizer, state.trained)
        metrics = {name: total / by for name, (total, by) in sums.items()} | {
            "learning_rate": schedule(state.step),
            "gradient_norm": optax.tree.norm(gradient),
            "padding": jnp.mean(batch["segments"] == 0),
        }
        return TrainState(state.step + 1, optax.apply_updates(state.trained, updates), optimizer), metrics

    whole = sharding.replicated(mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=(placement, whole))
