"""Where things live: the device mesh, and which of its axes each named axis of an array is split over.

This is the only home of `PartitionSpec`. The mesh is ('data', 'fsdp', 'tensor'): batches are split over the first
two; weights over 'fsdp' along the model dimension and over 'tensor' along heads, hidden units and vocabulary.
"""

import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from reeval.models import layers

MESH_AXES = ("data", "fsdp", "tensor")

# An axis that is not named here (layers, head_dim, rank, norms) is whole on every device.
RULES: dict[str, tuple[str, ...]] = {
    "batch": ("data", "fsdp"),
    "embed": ("fsdp",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "mlp": ("tensor",),
    "vocab": ("tensor",),
}


def make_mesh(shape: Sequence[int], devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of `shape` (data, fsdp, tensor) over `devices`, by default all; one -1 takes what is left.

    Devices of several TPU slices, between which the network is slow, are split along data, or along fsdp if data is 1.

    Raises:
        ValueError: if the shape does not cover the devices, or cannot be split over their slices.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = [int(n) for n in shape]
    if len(sizes) != len(MESH_AXES) or sizes.count(-1) > 1 or any(n < 1 and n != -1 for n in sizes):
        raise ValueError(f"mesh must be three sizes (data, fsdp, tensor), at most one of them -1, not {tuple(shape)}")
    if -1 in sizes:
        sizes[sizes.index(-1)] = max(1, len(devices) // -math.prod(sizes))
    if math.prod(sizes) != len(devices):
        needed = abs(math.prod(shape))
        many = f"a multiple of {needed}" if -1 in shape else str(needed)
        raise ValueError(f"mesh {tuple(shape)} needs {many} devices, but there are {len(devices)}")
    types = (AxisType.Auto,) * 3
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1 or devices[0].platform != "tpu":
        return jax.make_mesh(tuple(sizes), MESH_AXES, axis_types=types, devices=devices)
    over = [slices, 1, 1] if sizes[0] > 1 else [1, slices, 1]
    if any(size % count for size, count in zip(sizes, over, strict=True)):
        raise ValueError(f"mesh {tuple(shape)} cannot be split over {slices} slices; make data a multiple of {slices}")
    within = [size // count for size, count in zip(sizes, over, strict=True)]
    return Mesh(mesh_utils.create_hybrid_device_mesh(within, over, devices), MESH_AXES, axis_types=types)


def single_device_mesh() -> Mesh:
    """A mesh of the first device alone."""
    return make_mesh((1, 1, 1), jax.devices()[:1])


def place(mesh: Mesh, axes: Sequence[str | None], shape: Sequence[int]) -> NamedSharding:
    """The sharding of an array by the names of its axes. An axis that does not divide evenly stays whole."""
    entries: list[Any] = []
    for axis, size in zip(axes, shape, strict=True):
        over = RULES.get(axis, ()) if axis else ()
        count = math.prod(mesh.shape[name] for name in over)
        entries.append((over if len(over) > 1 else over[0]) if count > 1 and size % count == 0 else None)
    return NamedSharding(mesh, PartitionSpec(*entries))


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(mesh: Mesh, state: nnx.State) -> nnx.State:
    """The sharding of each variable of `state`, which may be abstract, by the axes that its model named."""
    return jax.tree.map(
        lambda variable: variable.replace(place(mesh, variable.get_metadata("axes"), variable.shape)),
        state,
        is_leaf=lambda x: isinstance(x, nnx.Variable),
    )


def layer_shardings(mesh: Mesh, stacked: nnx.State) -> nnx.State:
    """The sharding of each variable of one layer of `stacked`, which may be abstract."""
    return jax.tree.map(
        lambda variable: variable.replace(place(mesh, variable.get_metadata("axes")[1:], variable.shape[1:])),
        stacked,
        is_leaf=lambda x: isinstance(x, nnx.Variable),
    )


def batch_sharding(mesh: Mesh, ndim: int, *, leading: int = 0) -> NamedSharding:
    """A batch array's sharding: split along the batch axis, which follows `leading` whole ones."""
    axes = (None,) * leading + (MESH_AXES[:2],) + (None,) * (ndim - leading - 1)
    return NamedSharding(mesh, PartitionSpec(*axes))


def batch_multiple(mesh: Mesh) -> int:
    """What the global batch must be a multiple of."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def own_rows(mesh: Mesh, rows: int) -> list[int]:
    """Which rows of a batch of `rows` lie on devices of this process, rising."""
    indices: Any = batch_sharding(mesh, 1).addressable_devices_indices_map((rows,)).values()
    return sorted({row for (part,) in indices for row in range(rows)[part]})


def to_device(mesh: Mesh, batch: dict[str, np.ndarray], *, leading: int = 0) -> dict[str, jax.Array]:
    """A batch that every process has, as global arrays, of which each device holds its part."""
    placed = {name: batch_sharding(mesh, value.ndim, leading=leading) for name, value in batch.items()}
    return {
        name: jax.make_array_from_callback(value.shape, placed[name], value.__getitem__)
        for name, value in batch.items()
    }


def whole(mesh: Mesh, tree: Any) -> Any:
    """The same arrays, whole on every device and so readable by every process."""
    return jax.jit(lambda x: x, out_shardings=replicated(mesh))(tree)


def activations(mesh: Mesh, *, attention: str = "xla") -> AbstractContextManager[None]:
    """While tracing inside, models' named activations are placed on `mesh`.

    Args:
        attention: the backend of attention, see `attention.attend`.
    """

    def constrain(x: jax.Array, axes: layers.Axes) -> jax.Array:
        return jax.lax.with_sharding_constraint(x, place(mesh, axes, x.shape))

    def by_shard(
        function: Callable[..., jax.Array],
        arrays: Sequence[jax.Array],
        axes: Sequence[layers.Axes],
        out: Any,
        out_axes: layers.Axes,
    ) -> jax.Array:
        specs = tuple(place(mesh, names, x.shape).spec for x, names in zip(arrays, axes, strict=True))
        # What Pallas makes does not say over which axes it varies, so that jax cannot check it.
        mapped = jax.shard_map(
            function, mesh=mesh, in_specs=specs, out_specs=place(mesh, out_axes, out.shape).spec, check_vma=False
        )
        return mapped(*arrays)

    device = mesh.devices.flat[0]
    # AMD's GPUs have names in its place, such as gfx942.
    numbers = re.fullmatch(r"(\d+)\.(\d+)", getattr(device, "compute_capability", ""))
    capability = tuple(int(n) for n in numbers.groups()) if numbers else (0, 0)
    return layers.activation_placement(layers.Placement(constrain, by_shard, device.platform, capability, attention))
