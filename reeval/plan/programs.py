"""The programs that a config runs, traced at their real size from shapes alone."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import hf, sharding
from reeval.decode.engine import Engine
from reeval.decode.grammar import free
from reeval.decode.memory import bytes_held
from reeval.evaluate.judge import Judge
from reeval.from_scratch import loop as from_scratch
from reeval.run import base_directory, conversation, wants_images
from reeval.train.arithmetic import parameters
from reeval.train.real_size import abstract_base, trace_step

# Tokens between the two answers of a conversation, where no tokenizer says how many.
_SECOND_TURN = 64


@dataclasses.dataclass(frozen=True)
class Program:
    """
    Attributes:
        name, what: of it, and what one run of it does.
        mesh: that it runs on.
        traced: by `jax.jit(...).trace(...)`.
        arguments: that it was traced with, as shapes with shardings.
        held: bytes on a device that are held beside its arguments.
        tokens: that one run reads, or makes.
        least_flops: that the model needs for that whatever is recomputed; None where it is not said.
    """

    name: str
    what: str
    mesh: Mesh
    traced: Any
    arguments: Any
    held: int
    tokens: int
    least_flops: float | None = None


def training_step(config: ConfigDict, devices: Sequence[Any]) -> Program:
    """Raises ValueError if the config's batch or model cannot be had on its mesh."""
    mesh = sharding.make_mesh(config.mesh, devices)
    if config.tuning == "from_scratch":
        traced, arguments = from_scratch.trace_step(config, mesh)
        judge = from_scratch.abstract_judge(config).judge
        shape, weights = judge.config, nnx.state(judge)
    else:
        traced, arguments = trace_step(config, mesh)
        shape, (_, weights) = hf.load_config(base_directory(config)), abstract_base(config, mesh)
    _, _, batch = arguments
    accumulated, rows, length = batch["tokens"].shape
    many = f"{accumulated} x " if accumulated > 1 else ""
    tokens = accumulated * rows * length
    headed = tokens if config.tuning == "from_scratch" else accumulated * rows * min(config.train.loss_chunk, length)
    frozen = config.tuning == "lora"
    least = _least(shape, weights, tokens, length, headed, batch.get("images"), frozen=frozen)
    return Program("training step", f"{many}{rows} rows of {length} tokens", mesh, traced, arguments, 0, tokens, least)


def scoring(config: ConfigDict, devices: Sequence[Any]) -> tuple[list[Program], str]:
    """The largest prefill and the decoding of the second mode, whose conversations are the longer ones; and what was
    assumed about them.

    Raises:
        ValueError: if conversations might be longer than the model was made for.
    """
    mesh = sharding.make_mesh(config.eval.mesh, devices)
    graph, weights = abstract_base(config, mesh)
    engine, note = _engine(config, mesh, graph, weights)
    shape, images = engine.largest_prefill()
    largest = engine.device.largest(weights, shape, images)
    _, slots, *_ = largest["decode"]
    rows, length = shape
    prefill = engine.device.traced("prefill", largest["prefill"])
    decode = engine.device.traced("decode", largest["decode"])
    read, made = f"{rows} rows of {length} tokens", f"{engine.slots} slots of {engine.length} tokens, one step"
    return [
        Program("prefill", read, mesh, prefill, largest["prefill"], bytes_held(slots), rows * length),
        Program("decode", made, mesh, decode, largest["decode"], 0, engine.slots),
    ], note


def _engine(config: ConfigDict, mesh: Mesh, graph: nnx.GraphDef, weights: nnx.State) -> tuple[Engine, str]:
    directory, images = base_directory(config), wants_images(config)
    sizes = {name: config.eval[name] for name in ("slots", "max_prompt_tokens", "max_answer_tokens")}
    if (directory / "tokenizer.json").is_file():
        speaks = conversation(directory, config.prompt, images)
        most = hf.max_positions(directory)
        judge = Judge(graph, speaks, mesh, **sizes, grammar=config.eval.grammar, max_positions=most)
        return judge.engine(weights, "two_pass"), "Scoring with the directory's tokenizer, its prompt and its grammar."
    model = nnx.merge(graph, weights).config
    pixels = (model.vision.channels, *(model.vision.image_size,) * 2) if images else None
    grammar = free(model.vocab_size, model.vocab_size - 1)
    second = [0] * _SECOND_TURN
    engine = Engine(graph, mesh, grammar, prefix=[], second=second, end=0, pixels=pixels, **sizes)
    return engine, (
        f"Scoring without a tokenizer, which {directory} does not hold: answers are free of a grammar, prompts share "
        f"no prefix, and a second turn asks in {_SECOND_TURN} tokens."
    )


def _least(shape: Any, weights: Any, tokens: int, length: int, headed: int, images: Any, *, frozen: bool) -> float:
    """FLOP of a step without recomputation: 4 a parameter that multiplies, forward and back, and token, if it is frozen
    and so needs no gradient, or 6; of the head for the tokens that have a loss alone, of which the program's loop
    counts one chunk; 12 a pair of positions, head and its size for attention, whatever is masked; of images forward
    alone."""
    decoder, seeing = parameters(weights, tied=shape.tied)
    head = shape.vocab_size * shape.d_model
    least = (4.0 if frozen else 6.0) * ((decoder - head) * tokens + head * headed)
    least += 12.0 * shape.num_layers * shape.num_heads * shape.head_dim * tokens * length
    if images is not None:
        v = shape.vision
        patches = (v.image_size // v.patch_size) ** 2
        seen = math.prod(images.shape[:-3])
        least += seen * patches * (2.0 * seeing + 4.0 * v.num_layers * v.d_model * patches)
    return least
