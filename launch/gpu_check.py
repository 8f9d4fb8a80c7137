"""Whether the GPUs, the driver and the packages of this machine can run jax. Imports no jax, and needs none.

    python launch/gpu_check.py --gpus=0,1      # numbers of nvidia-smi; by default those that CUDA_VISIBLE_DEVICES shows

Prints the GPUs as CUDA_VISIBLE_DEVICES takes them, or else one line on standard error that says what is missing, with
exit code 2. launch/gpu.sh and launch/slurm.sbatch ask it first, because jax says too little itself: where there is no
driver, an AssertionError without words.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

# Of CUDA 13, from jax's page on its installation.
DRIVER = 580
CAPABILITY = (7, 5)

FIELDS = "index,name,driver_version,compute_cap,memory.total"
QUERY = ("nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits")
# Of these pip brings its own, and LD_LIBRARY_PATH comes before them.
LIBRARIES = ("libcudart", "libcublas", "libcudnn", "libcufft", "libcusolver", "libcusparse", "libnccl", "libnvrtc")


class Missing(Exception):
    """What is missing, where, and what to do, in one line."""


class Gpu(NamedTuple):
    index: str
    name: str
    driver: str
    capability: tuple[int, int]
    memory: str


def gpus_here() -> list[Gpu]:
    """What nvidia-smi says."""
    if not shutil.which(QUERY[0]):
        raise Missing(f"no NVIDIA driver: nvidia-smi is not on the PATH; install a driver of {DRIVER} or newer")
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"nvidia-smi does not run ({error}); install an NVIDIA driver of {DRIVER} or newer") from None
    said = " ".join((done.stdout + done.stderr).split())
    if done.returncode:
        raise Missing(f"nvidia-smi fails ({said}); is a driver of {DRIVER} or newer installed and loaded?")
    try:
        return [_parsed(line) for line in done.stdout.splitlines() if line.strip()]
    except ValueError:
        raise Missing(f"nvidia-smi names no GPU that can be used: it says {said!r}") from None


def _parsed(line: str) -> Gpu:
    index, name, driver, capability, memory = (field.strip() for field in line.split(","))
    major, minor = capability.split(".")
    return Gpu(index, name, driver, (int(major), int(minor)), memory)


def check_driver(gpus: Sequence[Gpu]) -> None:
    if not gpus:
        raise Missing("nvidia-smi names no GPU: is one in this machine, or given to this container or job?")
    driver = gpus[0].driver
    if int(driver.split(".")[0]) < DRIVER:
        raise Missing(f"the NVIDIA driver is {driver}, and CUDA 13 needs {DRIVER} or newer: update the driver")


def chosen(gpus: Sequence[Gpu], wish: str | None) -> list[str]:
    """The GPUs to use, as CUDA_VISIBLE_DEVICES takes them: those wished for, or those it shows already, or all."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wish is None and shown is None:
        wanted = [gpu.index for gpu in gpus]
    elif wish is None:
        if not shown or shown == "-1":
            raise Missing(f"CUDA_VISIBLE_DEVICES={shown} hides every GPU: unset it, or name GPUs by --gpus=0,1")
        wanted = shown.split(",")
        if not all(index.isdigit() for index in wanted):
            return wanted  # UUIDs of GPUs or of parts of them, which CUDA knows
    else:
        wanted = wish.split(",")
        if not all(index.isdigit() for index in wanted) or len(set(wanted)) < len(wanted):
            raise Missing(f"--gpus={wish}: must be numbers of nvidia-smi, each once, with commas between: --gpus=0,1")
    by_index = {gpu.index: gpu for gpu in gpus}
    for index in wanted:
        source = f"--gpus={wish}" if wish is not None else f"CUDA_VISIBLE_DEVICES={shown}"
        if index not in by_index:
            raise Missing(f"{source}: there is no GPU {index}; nvidia-smi names {','.join(by_index)}")
        gpu = by_index[index]
        if gpu.capability < CAPABILITY:
            raise Missing(
                f"GPU {index} ({gpu.name}) has compute capability {'.'.join(map(str, gpu.capability))}, and CUDA 13 "
                f"needs {'.'.join(map(str, CAPABILITY))} or newer: choose others by --gpus=0,1"
            )
    return wanted


def check_packages() -> None:
    """jaxlib and the CUDA plugin are two builds of one source, and work together in the same version only."""
    found = {name: _version(name) for name in ("jax", "jaxlib", "jax-cuda13-plugin", "jax-cuda13-pjrt")}
    same = f"=={found['jax']}" if found["jax"] else ""
    remedy = f"{sys.executable} -m pip install 'jax[cuda13]{same}'"
    absent = [name for name, version in found.items() if version is None]
    if absent:
        raise Missing(f"{' and '.join(absent)} not installed: {remedy}")
    for name, version in found.items():
        if version != found["jaxlib"]:
            raise Missing(f"{name} is {version} and jaxlib {found['jaxlib']}; they must be the same: {remedy}")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def overriding_libraries() -> str | None:
    """The first directory of LD_LIBRARY_PATH that has CUDA libraries of its own."""
    for directory in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")):
        if any(any(Path(directory).glob(f"{library}.so*")) for library in LIBRARIES):
            return directory
    return None


def main(arguments: Sequence[str]) -> int:
    node = os.environ.get("SLURMD_NODENAME")
    where = f"reeval: {node}: " if node else "reeval: "
    try:
        wish = None
        for argument in arguments:
            name, _, value = argument.partition("=")
            if name != "--gpus":
                raise Missing(f"launch/gpu_check.py does not know {argument}; it takes --gpus=0,1")
            wish = value
        gpus = gpus_here()
        check_driver(gpus)
        wanted = chosen(gpus, wish)
        check_packages()
    except Missing as missing:
        print(f"{where}{missing}", file=sys.stderr)
        return 2
    if directory := overriding_libraries():
        print(
            f"{where}warning: LD_LIBRARY_PATH has {directory}, whose CUDA libraries come before those that jax was "
            "installed with; if jax finds no GPU, unset LD_LIBRARY_PATH",
            file=sys.stderr,
        )
    print(",".join(wanted))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
