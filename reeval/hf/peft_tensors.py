"""The tensors of a PEFT adapter file, matched with the linear layers of a model of ours.

A module is a linear layer of one layer as the file names it: `model.layers.0.self_attn.q_proj`. It has A [R, in] and
B [out, R] there. Letters: R rank, in and out the flattened axes of a linear layer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open

from reeval import lora
from reeval.hf.layout import Entry, spelled
from reeval.hf.names import family_of
from reeval.hf.peft_config import PeftConfig
from reeval.hf.weights import DTYPES, finite, misfits
from reeval.models.layers import Einsum

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
_TOWER = "vision_tower."


class Matrices(NamedTuple):
    """The adapter of one linear layer of a file, float32."""

    a: np.ndarray  # [R, in]
    b: np.ndarray  # [out, R]

    def delta(self, scale: float) -> np.ndarray:
        """What it adds to the layer's weight: [out, in] float32."""
        return np.matmul(self.b, self.a) * np.float32(scale)


class Linear(NamedTuple):
    """A linear layer of ours, of all layers if stacked."""

    entry: Entry  # spelled as the file is
    weight: nnx.Param
    einsum: Einsum | None  # None in the vision tower

    @property
    def modules(self) -> list[str]:
        """What the file calls it, in the order of the layers."""
        return modules(self.entry, self.weight.shape)

    @property
    def file_shape(self) -> tuple[int, ...]:
        return self.entry.file_shape(self.weight.shape)


class Part(NamedTuple):
    """A module's adapter as the file has it."""

    matrices: Matrices
    scale: float


def read(directory: Path) -> dict[str, np.ndarray]:
    """The tensors of an adapter directory, in the dtypes of the file.

    Raises:
        ValueError: one line, if there is no safetensors file, or it is damaged or holds what is no finite float.
    """
    file = directory / WEIGHTS
    if not file.is_file():
        pickled = (directory / "adapter_model.bin").is_file()
        why = "pickled weights can run code and are refused; convert them" if pickled else "fetch it"
        raise ValueError(f"{directory}: no {WEIGHTS}; {why}")
    tensors = {}
    try:
        with safe_open(file, "numpy") as opened:
            for name in opened.offset_keys():
                if not name.isprintable():
                    raise ValueError(f"{file}: a tensor is named {name!r}; refused")
                if (dtype := opened.get_slice(name).get_dtype()) not in DTYPES:
                    raise ValueError(f"{file}: {name} is {dtype}; only {', '.join(DTYPES)} are supported")
                tensors[name] = opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file}: damaged or truncated ({error}); fetch it again") from None
    if damaged := [name for name, tensor in tensors.items() if not finite(tensor)]:
        raise ValueError(f"{file}: NaN or infinite numbers in {', '.join(sorted(damaged))}")
    return tensors


def linear_layers(model: Any, tensors: Iterable[str]) -> list[Linear]:
    """The model's linear layers, with names as these tensors have them."""
    family = family_of(model)
    einsums = {f"{path}.w": einsum for path, einsum in lora.projections(model)}
    table = [entry for entry in family.table(model.config) if entry.path in einsums or _in_tower(entry)]
    present = {module_of(name) for name in tensors}
    named = spelled(table, family.SPELLINGS, present)
    if not any("language_model." in entry.name for entry in named) and not any(_TOWER in name for name in present):
        # Trained on a decoder alone, where there was no tower to adapt.
        named = tuple(entry for entry in named if not _in_tower(entry))
    return [Linear(entry, attrgetter(entry.path)(model), einsums.get(entry.path)) for entry in named]


def match(
    settings: PeftConfig, tensors: Mapping[str, np.ndarray], linear: Sequence[Linear], family: ModuleType
) -> dict[str, Part]:
    """The adapter of each module that PEFT adapts, by its name in the file.

    Raises:
        ValueError: naming all tensors that do not fit what the config says.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if not _is_idle(name, linear, family)}
    tensors = _without_copies(tensors, linear)
    if embeddings := sorted({module_of(name) for name in tensors if ".lora_embedding_" in name}):
        raise ValueError(f"an adapter of an embedding is not supported: {', '.join(embeddings)}")
    tied = all(layer.entry.path != family.HEAD.path for layer in linear)
    if tied and any(module_of(name).rsplit(".", 1)[-1] == "lm_head" for name in tensors):
        raise ValueError("adapts lm_head, which in this model is the embedding: not supported")
    # The config names modules as the file does or, where only tensors were renamed, as transformers does now.
    current = {entry.path: entry for entry in family.TABLE}
    misfitting: list[str] = []
    for names in ([layer.entry for layer in linear], [current[layer.entry.path] for layer in linear]):
        adapted = {
            module: (layer.file_shape, settings.rank_of(name), settings.scale_of(name))
            for layer, entry in zip(linear, names, strict=True)
            for module, name in zip(layer.modules, modules(entry, layer.weight.shape), strict=True)
            if settings.adapts(name)
        }
        shapes = {
            f"{PREFIX}{module}.lora_{letter}.weight": (rank, columns) if letter == "A" else (rows, rank)
            for module, ((rows, columns), rank, _) in adapted.items()
            for letter in "AB"
        }
        misfitting.append("; ".join(misfits(shapes, tensors)))
        if not misfitting[-1]:
            break
    else:
        raise ValueError(f"does not fit the model: {misfitting[0]}")
    return {module: Part(_held(tensors, module), scale) for module, (_, _, scale) in adapted.items()}


def modules(entry: Entry, shape: Sequence[int]) -> list[str]:
    """What a file calls a linear layer whose weight or adapter here has this shape, in the order of the layers."""
    return [name.removesuffix(".weight") for name in entry.names(shape)]


def module_of(name: str) -> str:
    """The module that a tensor of a file belongs to."""
    return name.removeprefix(PREFIX).rsplit(".lora_", 1)[0]


def _held(tensors: Mapping[str, np.ndarray], module: str) -> Matrices:
    a, b = (tensors[f"{PREFIX}{module}.lora_{letter}.weight"].astype(np.float32, copy=False) for letter in "AB")
    return Matrices(a, b)


def _without_copies(tensors: Mapping[str, np.ndarray], linear: Sequence[Linear]) -> dict[str, np.ndarray]:
    """The tensors without the copy of `lm_head` that PEFT saves beside an adapter of it, which must be the model's."""
    rest = dict(tensors)
    for layer in linear:
        copy = None if layer.entry.stacked else rest.pop(f"{PREFIX}{layer.modules[0]}.base_layer.weight", None)
        if copy is not None:
            ours = layer.entry.to_file(np.asarray(layer.weight[...]))
            # One of the two may have been rounded.
            if not any(np.array_equal(ours.astype(d), copy.astype(d)) for d in (ours.dtype, copy.dtype)):
                raise ValueError(f"holds another {layer.modules[0]} than the model's")
    return rest


def _is_idle(name: str, linear: Sequence[Linear], family: ModuleType) -> bool:
    """Whether a tensor adapts what is never called here: a tower's pooling head, or a tower that was not loaded."""
    module = module_of(name)
    loaded = any(_in_tower(layer.entry) for layer in linear)
    in_absent_tower = _TOWER in module and not loaded and any(map(_in_tower, family.TABLE))
    return in_absent_tower or re.fullmatch(family.UNUSED, module) is not None


def _in_tower(entry: Entry) -> bool:
    """Whether it is a linear layer of the vision tower."""
    return entry.path.startswith("vision.layers.") and entry.path.endswith(".w")
