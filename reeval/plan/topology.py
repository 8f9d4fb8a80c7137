"""TPUs and GPUs that are not at hand: their devices by the name of a topology."""

import os
import re
from typing import Any

from jax.experimental import topologies

from reeval.chips import GPUS, TPUS, Chip
from reeval.plan.gpus import MOST, gpus

# What libtpu asks a TPU VM for, answered for a machine that is none; the last lets two processes compile at once.
_NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "none",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


_NAME = re.compile(rf"({'|'.join(TPUS)}):\d+(x\d+){{1,2}}|({'|'.join(GPUS)}):[1-{MOST}]")


def chip_of(topology: str) -> Chip:
    """The chip of a topology's name, such as `v5e:2x4` or `h100:8`.

    Raises:
        ValueError: if it is no such name.
    """
    if not _NAME.fullmatch(topology):
        raise ValueError(
            f"--topology={topology}: cannot be described (not a name); it looks like v5e:2x4, v5p:2x2x1 or h100:8, and "
            f"there are {', '.join(TPUS)} and, 1 to {MOST} a machine, {', '.join(GPUS)}"
        )
    return (TPUS | GPUS)[topology.partition(":")[0]]


def devices_of(topology: str, slices: int = 1) -> list[Any]:
    """The devices of so many slices, or machines with GPUs, one after another.

    Raises:
        ValueError: if there is no such topology, or the compiler for it is missing.
    """
    chip_of(topology)
    if slices < 1:
        raise ValueError(f"--slices={slices}: there is at least one")
    name, _, shape = topology.partition(":")
    if name in GPUS:
        try:
            return gpus(name, int(shape), slices)
        except Exception as error:
            raise _not_described(topology, error, "jax's CUDA plugin", "[plan-gpu]") from None
    for variable, value in _NO_TPU_HERE.items():
        os.environ.setdefault(variable, value)
    options: dict[str, Any] = {}
    if set(shape.split("x")) == {"1"}:
        options["chips_per_host_bounds"] = (1, 1, 1)
    if topology.startswith("v4"):
        options["chip_config_name"] = "megacore"
    if slices > 1:
        options["num_slices"] = slices
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=topology, **options).devices
    except Exception as error:
        raise _not_described(topology, error, "libtpu", "[plan]") from None
    return sorted(devices, key=lambda device: getattr(device, "slice_index", 0))


def _not_described(topology: str, error: Exception, compiler: str, extra: str) -> ValueError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ValueError(
        f"--topology={topology}: cannot be described ({reason}); it looks like v5e:2x4 or h100:8, and {compiler} must "
        f"be installed (pip install -e '.{extra}')"
    )
