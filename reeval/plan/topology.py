"""TPUs that are not at hand: their devices by the name of a topology, and what a chip of each generation can do."""

import dataclasses
import os
import re
from typing import Any

from jax.experimental import topologies

# What libtpu asks a TPU VM for, answered for a machine that is none; the last lets two processes compile at once.
_NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "none",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class Chip:
    """
    Attributes:
        flops: peak in bfloat16, a second.
        hbm: bytes.
        hbm_rate, ici_rate, dcn_rate: bytes a second of its memory; that it can send over all its links to chips of
            its slice; and its share of what its host sends to other slices.
    """

    flops: float
    hbm: float
    hbm_rate: float
    ici_rate: float
    dcn_rate: float


# cloud.google.com/tpu/docs/v4, v5e, v5p and v6e, "System architecture", read in November 2026. They give the links of
# v5e, v5p and v6e in both directions together (400, 1200 and 800 GB/s); half of it goes out. Those of v4 are six of
# 50 GB/s ("TPU v4: An Optically Reconfigurable Supercomputer", arXiv 2304.01433). The data centre network is what a
# pod has over its chips (v5e: 6.4 Tb/s over 256; v6e: 25.6), which is not published for v4 and v5p: 200 Gb/s a host
# of four chips is taken.
CHIPS = {
    "v4": Chip(275e12, 32 * 2**30, 1200e9, 300e9, 6.25e9),
    "v5e": Chip(197e12, 16 * 2**30, 819e9, 200e9, 3.125e9),
    "v5p": Chip(459e12, 95 * 2**30, 2765e9, 600e9, 6.25e9),
    "v6e": Chip(918e12, 32 * 2**30, 1638e9, 400e9, 12.5e9),
}
_NAME = re.compile(rf"({'|'.join(CHIPS)}):\d+(x\d+){{1,2}}")


def chip_of(topology: str) -> Chip:
    """The chip of a topology's name, such as `v5e:2x4`.

    Raises:
        ValueError: if it is no such name.
    """
    if not _NAME.fullmatch(topology):
        raise ValueError(
            f"--topology={topology}: cannot be described (not a name); it looks like v5e:2x4 or v5p:2x2x1, and there "
            f"are {', '.join(CHIPS)}"
        )
    return CHIPS[topology.partition(":")[0]]


def devices_of(topology: str, slices: int = 1) -> list[Any]:
    """The devices of so many slices, one after another.

    Raises:
        ValueError: if there is no such topology, or libtpu is missing.
    """
    chip_of(topology)
    if slices < 1:
        raise ValueError(f"--slices={slices}: there is at least one")
    for name, value in _NO_TPU_HERE.items():
        os.environ.setdefault(name, value)
    generation, _, shape = topology.partition(":")
    options: dict[str, Any] = {}
    if set(shape.split("x")) == {"1"}:
        options["chips_per_host_bounds"] = (1, 1, 1)
    if generation == "v4":
        options["chip_config_name"] = "megacore"
    if slices > 1:
        options["num_slices"] = slices
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=topology, **options).devices
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"--topology={topology}: cannot be described ({reason}); it looks like v5e:2x4, and libtpu must be "
            "installed (pip install -e '.[plan]')"
        ) from None
    return sorted(devices, key=lambda device: getattr(device, "slice_index", 0))
