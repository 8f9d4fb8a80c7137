"""The training step: a pure function of (state, base, batch), jitted once with every placement given.

Shape letters: A accumulated micro-batches, B batch, T time.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import sharding
from reeval.lora import Parts
from reeval.train.objective import sft_loss


class TrainState(NamedTuple):
    """What training changes: the step, adapter weights by name, and the optimizer's state over them.

    Also the same tree of their shapes or shardings.
    """

    step: Any
    adapter: Any
    optimizer: Any


@dataclasses.dataclass(frozen=True)
class StepOptions:
    seed: int
    remat: str
    loss_chunk: int
    attention: str
    dropout: bool


def options_of(config: ConfigDict) -> StepOptions:
    """What the step needs of a config."""
    return StepOptions(
        seed=config.train.seed,
        remat=config.train.remat,
        loss_chunk=config.train.loss_chunk,
        attention=config.train.attention,
        dropout=config.lora.dropout > 0,
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


def state_placement(mesh: Mesh, tx: optax.GradientTransformation, adapter: Mapping[str, Any], placed: Any) -> Any:
    """The shardings of a TrainState: each moment lies where its parameter does.

    Args:
        adapter: adapter weights by name, or their shapes.
        placed: the sharding of each.
    """
    whole = sharding.replicated(mesh)
    optimizer = optax.tree_map_params(
        tx,
        lambda _, sharding: sharding,
        jax.eval_shape(tx.init, adapter),
        placed,
        transform_non_params=lambda _: whole,
    )
    return TrainState(whole, placed, optimizer)


def init_state(tx: optax.GradientTransformation, adapter: Any, placement: TrainState) -> TrainState:
    """The state before the first step, placed so that the step compiles once."""
    make = jax.jit(lambda a: TrainState(jnp.zeros((), jnp.int32), a, tx.init(a)), out_shardings=placement)
    return make(adapter)


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

    def loss(adapter: Any, base: nnx.State, micro: dict[str, jax.Array], key: jax.Array | None) -> Any:
        with sharding.activations(mesh, attention=options.attention):
            model = parts.assemble(adapter, base)
            return sft_loss(model, micro, key=key, remat=options.remat, chunk=options.loss_chunk)

    def step(state: TrainState, base: nnx.State, batch: dict[str, jax.Array]) -> Any:
        step_key = jax.random.fold_in(jax.random.key(options.seed), state.step)

        def accumulate(carry: Any, xs: Any) -> tuple[Any, None]:
            micro, index = xs
            key = jax.random.fold_in(step_key, index) if options.dropout else None
            new = jax.value_and_grad(loss, has_aux=True)(state.adapter, base, micro, key)
            return jax.tree.map(jnp.add, carry, new), None

        zeros = jax.tree.map(jnp.zeros_like, state.adapter)
        start = ((jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32)), zeros)
        count = batch["tokens"].shape[0]
        ((total, weight), gradient), _ = jax.lax.scan(accumulate, start, (batch, jnp.arange(count)))

        weight = jnp.maximum(weight, 1e-9)
        gradient = jax.tree.map(lambda g: g / weight, gradient)
        updates, optimizer = tx.update(gradient, state.optimizer, state.adapter)
        metrics = {
            "loss": total / weight,
            "learning_rate": schedule(state.step),
            "gradient_norm": optax.tree.norm(gradient),
            "padding": jnp.mean(batch["segments"] == 0),
        }
        return TrainState(state.step + 1, optax.apply_updates(state.adapter, updates), optimizer), metrics

    whole = sharding.replicated(mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=(placement, whole))
