"""How much memory a scoring run takes on each device, and whether there is that much."""

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

# What a container grants of the machine's memory, under Linux.
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on each device: what stays there all the time, and the most that a program needs beside it."""

    weights: int
    prefix: int
    cache: int
    temporaries: int

    @property
    def total(self) -> int:
        return self.weights + self.prefix + self.cache + self.temporaries

    def check(self, mesh: Mesh, *, slots: int, length: int) -> None:
        """Raises ValueError if the devices of `mesh` do not have that much.

        Args:
            slots, length: what decides about it, for the message: conversations, and tokens of each.
        """
        limit = device_limit(mesh)
        if limit is not None and self.total > limit:
            raise ValueError(
                f"scoring needs {_gb(self.total)} on each device and there are {_gb(limit)}: {slots} slots of "
                f"{length} tokens take {_gb(self.cache)}, the weights {_gb(self.weights)}, temporaries "
                f"{_gb(self.temporaries)}; lower slots, max_prompt_tokens or max_answer_tokens"
            )


def bytes_held(tree: Any) -> int:
    """Of arrays, which may be abstract, on one device."""
    return sum(math.prod(_held(leaf)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def device_limit(mesh: Mesh) -> int | None:
    """Bytes that each device can hold, None where nobody says. Devices of a CPU share its memory."""
    device = mesh.devices.flat[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if _CONTAINER.is_file() and (granted := _CONTAINER.read_text().strip()).isdigit():
        size = min(size, int(granted))
    return size // mesh.devices.size


def _held(leaf: Any) -> tuple[int, ...]:
    sharding = getattr(leaf, "sharding", None)
    return leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
