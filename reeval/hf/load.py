"""A Hugging Face directory to a model of ours, each tensor straight into its place on the mesh."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from reeval import sharding
from reeval.hf.layout import Entry, spelled
from reeval.hf.names import open_config
from reeval.hf.weights import Weights, finite, misfits
from reeval.models import int8, port_of, without_images
from reeval.models.layers import Einsum

# JAX on CPU takes over a host array without a copy where it starts on such a boundary.
_ALIGNMENT = 64
# A tensor is read in blocks of rows of about this size, so that a large one is not held twice.
_BLOCK_BYTES = 64 * 2**20


class Checkpoint(NamedTuple):
    """A directory whose tensors are known to be those of its config; none of them is read yet."""

    config: Any
    weights: Weights
    table: dict[str, Entry]  # by the path of our parameter, the names as the files spell them


def load_model(
    path: str | Path, *, dtype: Any = None, mesh: Mesh | None = None, images: bool = True, quantized: str = "none"
) -> nnx.Module:
    """The model of a Hugging Face directory.

    Args:
        path: with config.json and one or more safetensors files in bfloat16, float16 or float32.
        dtype: of the parameters; by default that of the files (if several, one that holds them all).
        mesh: to split the parameters over, see `reeval.sharding`; by default the first device has all.
        images: whether to load what sees images, if the directory has it; without, the decoder alone is read and given.
        quantized: "int8" to pack the decoder's projections as they come, see `models.int8`; no more than one of them
            (of all layers) is held as the files have it. "none" not to.
    Raises:
        ValueError: one line that names the file and what to do, if the directory is incomplete or damaged,
            holds what the port cannot express or NaN, or its tensors are not those of its config (all wrong ones
            are named, or the first of very many).
    """
    checkpoint = open_checkpoint(path)
    weights, table = checkpoint.weights, checkpoint.table
    if dtype is None:
        dtype = functools.reduce(jnp.promote_types, {tensor.dtype for tensor in weights.values()})
    mesh = sharding.single_device_mesh() if mesh is None else mesh

    def fill(path: Sequence[Any], variable: nnx.Variable) -> nnx.Variable:
        entry = table[".".join(map(str, path))]
        placed = sharding.place(mesh, variable.get_metadata("axes"), variable.shape)
        read: Any = _reader(weights, entry, variable.shape, np.dtype(dtype))
        return variable.replace(jax.make_array_from_callback(variable.shape, placed, read))

    graph, state = _abstract(checkpoint.config if images else without_images(checkpoint.config))
    flat = nnx.to_flat_state(state)
    packed = int8.chosen(nnx.merge(graph, state)) if quantized == "int8" else {}
    scales: dict[str, jax.Array] = {}
    filled = {}
    # The largest first: what is read is then briefly held beside the least.
    for at, variable in sorted(flat, key=lambda item: -item[1].size):
        filled[at] = fill(at, variable)
        owner = ".".join(map(str, at[:-1]))
        if owner in packed and at[-1] == "w":
            w, scales[owner] = _pack(packed[owner], filled[at], mesh)
            filled[at] = filled[at].replace(w)
    model = nnx.merge(graph, nnx.from_flat_state([(path, filled[path]) for path, _ in flat]))
    for owner, einsum in (int8.chosen(model) if packed else {}).items():
        int8.fit(einsum, einsum.w[...], scales[owner])
    return model


def _pack(einsum: Einsum, variable: nnx.Variable, mesh: Mesh) -> tuple[jax.Array, jax.Array]:
    """A weight on the mesh as int8 and its scale, each where `reeval.sharding` wants it; the weight is used up."""
    w, axes = variable[...], variable.get_metadata("axes")
    make = functools.partial(int8.quantized, einsum)
    placed = tuple(sharding.place(mesh, axes, made.shape) for made in jax.eval_shape(make, w))
    made = jax.jit(make, out_shardings=placed)(w)
    w.delete()
    return made


def open_checkpoint(path: str | Path) -> Checkpoint:
    """What a Hugging Face directory holds; raises as `load_model` does."""
    family, config = open_config(path)
    weights = Weights(Path(path))
    shapes = {".".join(map(str, path)): variable.shape for path, variable in nnx.to_flat_state(_abstract(config)[1])}
    table = {entry.path: entry for entry in spelled(family.table(config), family.SPELLINGS, weights)}
    assert shapes.keys() == table.keys(), shapes.keys() ^ table.keys()
    _check(Path(path), family, weights, table, shapes)
    return Checkpoint(config, weights, table)


def _abstract(config: Any) -> tuple[nnx.GraphDef, nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: port_of(config)(config, rngs=nnx.Rngs(0))))


def _check(
    directory: Path,
    family: ModuleType,
    weights: Weights,
    table: Mapping[str, Entry],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Compare the names and shapes of what the files hold with those that the config asks for."""
    expected = {
        name: entry.file_shape(shapes[path]) for path, entry in table.items() for name in entry.names(shapes[path])
    }
    tolerated = {name for name in weights if re.fullmatch(family.UNUSED, name)}
    # Where the head is tied, a file may hold it all the same; it must then equal the embedding.
    (head,) = spelled([family.HEAD], family.SPELLINGS, weights)
    repeated = head.name in weights and head.path not in table
    problems = misfits(expected, weights, tolerated | ({head.name} if repeated else set()))
    embedding = table["embed.embedding"].name
    if not problems and repeated and not _equal(weights, embedding, head.name):
        problems.append(f"config.json ties {head.name} to {embedding}, but they differ")
    if problems:
        raise ValueError(f"{directory}: the tensors are not those of config.json: {'; '.join(problems)}")


def _reader(
    weights: Weights, entry: Entry, shape: tuple[int, ...], dtype: np.dtype
) -> Callable[[tuple[slice, ...]], np.ndarray]:
    """Gives the part of a parameter that a device wants, read once however many devices want it."""
    parts: dict[tuple[tuple[int, int, int], ...], np.ndarray] = {}

    def read(index: tuple[slice, ...]) -> np.ndarray:
        bounds = tuple(s.indices(size) for s, size in zip(index, shape, strict=True))
        if bounds not in parts:
            part = _aligned(tuple(stop - start for start, stop, _ in bounds), dtype)
            names = entry.names(shape)
            if entry.stacked:
                for target, name in zip(part, names[index[0]], strict=True):
                    _fill(target, weights, entry, name, index[1:], shape[1:])
            else:
                _fill(part, weights, entry, names[0], index, shape)
            parts[bounds] = part
        return parts[bounds]

    return read


def _fill(
    target: np.ndarray,
    weights: Weights,
    entry: Entry,
    name: str,
    index: tuple[slice, ...],
    shape: tuple[int, ...],
) -> None:
    """Read into `target` the part `index` of one tensor, whose whole is `shape` in our axes."""
    axis = entry.letters.index(entry.groups[0][0])
    start, stop, _ = index[axis].indices(shape[axis])
    step = max(1, _BLOCK_BYTES * shape[axis] // weights[name].nbytes)
    before = (slice(None),) * axis
    for at in range(start, stop, step):
        end = min(at + step, stop)
        block = (*index[:axis], slice(at, end), *index[axis + 1 :])
        rows = (*before, slice(at - start, end - start))
        with np.errstate(over="ignore"):  # it is said below
            target[rows] = entry.read_part(functools.partial(weights.read, name), block, shape)
        if target.dtype == np.float16 != weights[name].dtype and not finite(target[rows]):
            raise ValueError(f"{weights[name].file}: {name} holds numbers beyond the range of float16; use bfloat16")


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def _equal(weights: Weights, first: str, second: str) -> bool:
    a, b = weights[first], weights[second]
    if a.shape != b.shape:
        return False
    step = max(1, _BLOCK_BYTES * a.shape[0] // a.nbytes)
    rows = (slice(at, min(at + step, a.shape[0])) for at in range(0, a.shape[0], step))
    return all(np.array_equal(weights.read(first, (part,)), weights.read(second, (part,))) for part in rows)
