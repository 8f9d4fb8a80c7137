"""What a config needs on TPUs that are not at hand: its real training step, compiled for a named topology."""

import os
import time
from typing import Any

import jax
from jax.experimental import topologies
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from reeval import settings, sharding
from reeval.train.real_size import lower_step

# What libtpu asks a TPU VM for, answered for a machine that is none; the last lets two processes compile at once.
_NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def plan(config: ConfigDict, topology: str) -> dict[str, Any]:
    """Compile the training step for `topology` (such as `v5e:2x4`) and print the memory that it takes a chip.

    Only `config.json` is read of the base model. Needs libtpu (`pip install -e '.[plan]'`).

    Returns:
        bytes a chip: arguments, temporaries, and their sum as peak; seconds to compile.
    Raises:
        ValueError: if the topology is unknown, libtpu is missing, or the step does not fit.
    """
    settings.check(config)
    for name, value in _NO_TPU_HERE.items():
        os.environ.setdefault(name, value)
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except Exception as error:
        raise ValueError(
            f"--topology={topology}: cannot be described ({_first_line(error)}); it looks like v5e:2x4, and "
            "libtpu must be installed (pip install -e '.[plan]')"
        ) from None
    mesh = sharding.make_mesh(config.mesh, devices)
    lowered, arguments = lower_step(config, mesh)
    began = time.monotonic()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"the training step does not fit {topology}: {_first_line(error)}") from None
    seconds = time.monotonic() - began
    memory = compiled.memory_analysis()
    needs = {
        "arguments": memory.argument_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        # The donated state's place is taken by the new one.
        "peak": memory.argument_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes,
        "compile_seconds": seconds,
    }
    rows, length = arguments[2]["tokens"].shape[-2:]
    what = f"training step, {rows} x {length} tokens"
    table = Table(title=f"{what}, on {topology} as {tuple(mesh.shape.values())} (data, fsdp, tensor)")
    for name in ("arguments", "temporaries", "peak"):
        table.add_column(f"{name}, GB a chip", justify="right")
    table.add_column("compiled in", justify="right")
    table.add_row(*(f"{needs[name] / 1e9:.2f}" for name in ("arguments", "temporaries", "peak")), f"{seconds:.0f} s")
    Console().print(table)
    return needs


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
