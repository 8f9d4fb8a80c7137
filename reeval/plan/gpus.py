"""GPUs that are not at hand: their devices, for jax's CUDA compiler.

Compiled without a GPU nothing is tried out: XLA takes its own kernels where it would else choose by measuring, so that
memory is close to what a GPU takes, and no more than that.
"""

import dataclasses
from typing import Any

from jax.experimental import topologies

from reeval.chips import GPUS

# Most that one machine holds.
MOST = 8


@dataclasses.dataclass(frozen=True)
class _Processor:
    """What XLA's compiler asks of a GPU, of NVIDIA's CUDA programming guide (technical specifications by compute
    capability) and architecture whitepapers.

    Attributes:
        name: as jax's `device_kind`.
        cores, lanes: multiprocessors, and units of each for float32.
        clock: in GHz.
        cache, shared, block: bytes of the second cache; of shared memory of a multiprocessor and of a block at most.
        threads: of a multiprocessor.
    """

    name: str
    capability: tuple[int, int]
    cores: int
    lanes: int
    clock: float
    cache: int
    shared: int
    block: int
    threads: int


_PROCESSORS = {
    "a100": _Processor("NVIDIA A100-SXM4-80GB", (8, 0), 108, 64, 1.41, 40 << 20, 164 << 10, 163 << 10, 2048),
    "h100": _Processor("NVIDIA H100 80GB HBM3", (9, 0), 132, 128, 1.98, 50 << 20, 228 << 10, 227 << 10, 2048),
    "h200": _Processor("NVIDIA H200", (9, 0), 132, 128, 1.98, 50 << 20, 228 << 10, 227 << 10, 2048),
    "l40s": _Processor("NVIDIA L40S", (8, 9), 142, 128, 2.52, 96 << 20, 100 << 10, 99 << 10, 1536),
}
assert _PROCESSORS.keys() == GPUS.keys()


def gpus(name: str, count: int, machines: int) -> list[Any]:
    """`count` GPUs of each of so many machines, one machine after another.

    Raises:
        Exception: of many kinds, if jax has no CUDA compiler here.
    """
    found = topologies.get_topology_desc(
        platform="cuda", topology_name=name, topology=f"1x{machines}x{count}", target_config=_target(name)
    )
    return list(found.devices)


def _target(name: str) -> str:
    """XLA's GpuTargetConfigProto, as text."""
    chip, gpu = GPUS[name], _PROCESSORS[name]
    major, minor = gpu.capability
    return f"""
        platform_name: "CUDA"
        device_description_str: "{gpu.name}"
        dnn_version_info {{ major: 9 minor: 12 }}
        runtime_version {{ major: 13 }}
        gpu_device_info {{
            cuda_compute_capability {{ major: {major} minor: {minor} }}
            core_count: {gpu.cores}
            fpus_per_core: {gpu.lanes}
            clock_rate_ghz: {gpu.clock}
            memory_bandwidth: {chip.hbm_rate:.0f}
            device_memory_size: {chip.hbm:.0f}
            l2_cache_size: {gpu.cache}
            shared_memory_per_core: {gpu.shared}
            shared_memory_per_block: {48 << 10}
            shared_memory_per_block_optin: {gpu.block}
            registers_per_core_limit: 65536
            registers_per_block_limit: 65536
            threads_per_warp: 32
            threads_per_block_limit: 1024
            threads_per_core_limit: {gpu.threads}
            block_dim_limit_x: 2147483647
            block_dim_limit_y: 65535
            block_dim_limit_z: 65535
        }}
    """
