"""The training step of a config as shapes and placements alone: traced and lowered, never run.

Serves plans for hardware that is not at hand, and tests at sizes that do not fit.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import hf, lora, sharding
from reeval.models import int8, port_of, without_images
from reeval.run import base_directory, lora_config, trained_weights, wants_images
from reeval.train.step import TrainState, make_train_step, optimizer_of, options_of, state_placement

# A conversation with an image has the image's 256 tokens and the instructions' and reports' several hundreds.
_IMAGE_EVERY = 1024
# Two answers and what they are about are hardly shorter.
_PREFERENCE_EVERY = 128


def abstract_judge(config: ConfigDict, *, images: bool = False) -> nnx.Module:
    """The judge of a config with its adapters, if it has any, as shapes; reads the base's `config.json` alone.

    Args:
        images: with the vision tower, if there is one; adapters are the same without.
    """
    shape = hf.load_config(base_directory(config))
    if not images:
        shape = without_images(shape)

    def make() -> nnx.Module:
        model = _port(config, shape)
        if config.tuning == "lora":
            lora.add(model, lora_config(config), hf.module_name, rngs=nnx.Rngs(0))
        return model

    return nnx.eval_shape(make)


def abstract_base(config: ConfigDict, mesh: Mesh) -> tuple[nnx.GraphDef, nnx.State]:
    """The base model of a config without adapters, as scoring takes it: its graph, and shapes with shardings.

    With the vision tower if `config.data.images`; reads the base's `config.json` alone.
    """
    shape = hf.load_config(base_directory(config))
    if not wants_images(config):
        shape = without_images(shape)
    model = nnx.eval_shape(lambda: _port(config, shape))
    graph, weights = nnx.split(model)
    return graph, _with(weights, sharding.state_shardings(mesh, weights))


def _port(config: ConfigDict, shape: Any) -> nnx.Module:
    model = port_of(shape)(shape, dtype=jnp.dtype(config.model.dtype), rngs=nnx.Rngs(0))
    if config.model.quantized == "int8":
        int8.quantize(model)
    return model


def lower_step(config: ConfigDict, mesh: Mesh) -> tuple[Any, tuple[Any, Any, Any]]:
    """The lowered step and its arguments; see `trace_step`."""
    traced, arguments = trace_step(config, mesh)
    return traced.lower(), arguments


def trace_step(config: ConfigDict, mesh: Mesh) -> tuple[Any, tuple[Any, Any, Any]]:
    """The traced step and its arguments (state, base, batch) as shapes with shardings.

    With `config.data.images` rows are full of conversations with images.
    """
    images = wants_images(config)
    model: Any = abstract_judge(config, images=images)
    which = trained_weights(config)
    parts, trained, base = lora.take_apart(model, which)
    tx, schedule = optimizer_of(config)
    placement = state_placement(mesh, tx, trained, placed_by_name(mesh, nnx.state(model, which)))
    rows = (config.train.accumulation, config.train.batch_size, config.data.sequence_length)
    prefers = config.objective == "dpo"
    options = options_of(config, segments=3 * max(1, rows[-1] // _PREFERENCE_EVERY))
    step = make_train_step(parts, tx, schedule, mesh, placement, options)
    split = sharding.batch_sharding(mesh, len(rows), leading=1)
    names = ["tokens", "targets", "segments", "positions"]
    if prefers or config.data.batching == "shared":
        names.append("parents")
    batch = {name: jax.ShapeDtypeStruct(rows, "int32", sharding=split) for name in names}
    for name in ("weights", "reference") if prefers else ("weights",):
        batch[name] = jax.ShapeDtypeStruct(rows, "float32", sharding=split)
    if images:
        vision = model.config.vision
        each = (max(1, rows[-1] // _IMAGE_EVERY), vision.channels, vision.image_size, vision.image_size)
        split = sharding.batch_sharding(mesh, 2 + len(each), leading=1)
        batch["images"] = jax.ShapeDtypeStruct((*rows[:2], *each), "float32", sharding=split)
    arguments = (abstract_state(tx, trained, placement), _with(base, sharding.state_shardings(mesh, base)), batch)
    return step.trace(*arguments), arguments


def placed_by_name(mesh: Mesh, state: nnx.State) -> dict[str, Any]:
    """The sharding of each variable of `state`, which may be abstract, by its dotted path."""
    return {
        ".".join(map(str, path)): sharding.place(mesh, variable.get_metadata("axes"), variable.shape)
        for path, variable in nnx.to_flat_state(state)
    }


def abstract_state(tx: optax.GradientTransformation, trained: Any, placement: TrainState) -> TrainState:
    """A TrainState as shapes with shardings; `trained` are shapes by name."""
    state = TrainState(jax.ShapeDtypeStruct((), jnp.int32), trained, jax.eval_shape(tx.init, trained))
    made: TrainState = _with(state, placement)
    return made


def _with(shapes: Any, shardings: Any) -> Any:
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)
