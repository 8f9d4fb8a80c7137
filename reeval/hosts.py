"""The processes of one run: how they find each other, who speaks and writes for all, and how they stop together."""

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from reeval.watch import STOPPED

# Until a process that sends no sign of life is given up.
_SILENCE_SECONDS = 30
# How often this process has asked whether to stop: jax stops all at the same number, which it must not see again.
_ASKED = itertools.count(1)


class Stopped(Exception):
    """The run was asked to stop; what it did is saved. Its words say how far it came."""

    exit_code = STOPPED


def join(how: str = "", *, together: bool = True) -> None:
    """Become one of several processes. Must come before jax is asked for its devices.

    Args:
        how: `HOST:PORT,COUNT,INDEX` of the first process, of how many, and of which this is; empty where jax finds that
            out: on TPU VMs, under Slurm and MPI.
        together: whether the processes take the same steps, so that they can stop at the same one.
    Raises:
        ValueError: if the processes do not find each other.
    """
    address, count, index = _parsed(how) if how else (None, None, None)
    jax.config.update("jax_enable_preemption_service", together)
    try:
        jax.distributed.initialize(
            address,
            count,
            index,
            heartbeat_timeout_seconds=_SILENCE_SECONDS,
            shutdown_timeout_seconds=_SILENCE_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"--distributed{'=' + how if how else ''}: the processes do not find each other ({said}); on a cluster "
            "that jax does not know give --distributed=HOST:PORT,COUNT,INDEX"
        ) from None
    # Libraries underneath, such as Gloo, print; only what the command prints, in the first process, is its output.
    out = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = open(out, "w") if first() else open(os.devnull, "w")  # noqa: SIM115  # as long as the process lives


def _parsed(how: str) -> tuple[str, int, int]:
    parts = how.split(",")
    if len(parts) != 3 or ":" not in parts[0] or not all(part.isdigit() for part in parts[1:]):
        raise ValueError(f"--distributed={how}: must be HOST:PORT,COUNT,INDEX, such as 10.0.0.1:8476,4,0")
    address, count, index = parts[0], int(parts[1]), int(parts[2])
    if index >= count:
        raise ValueError(f"--distributed={how}: the index must be below the count")
    return address, count, index


def first() -> bool:
    """Whether this process prints and writes for all."""
    return jax.process_index() == 0


def wait(name: str, *, seconds: int = 600) -> None:
    """Go on when all processes are here. Names are used once."""
    if jax.process_count() > 1:
        multihost.get_barrier_sync_fn()(key=name, timeout_ms=seconds * 1000)


@contextlib.contextmanager
def first_before_others(name: str) -> Iterator[None]:
    """The first process does what stands inside, then the others do, and find what it wrote. Names are used once."""
    if not first():
        wait(name)
    try:
        yield
    finally:
        if first():
            wait(name)


class Asked:
    """Inside the block SIGTERM ends nothing; `now` says whether it has come.

    together: as in `join`.
    """

    def __init__(self, *, together: bool = True) -> None:
        self._came = False
        # Of processes that go together jax listens, and a signal to one of them counts for all.
        self._alone = jax.process_count() == 1 or not together
        self._listens = self._alone and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "Asked":
        if self._listens:
            self._before = signal.signal(signal.SIGTERM, self._came_now)
        return self

    def __exit__(self, *_: object) -> None:
        if self._listens:
            signal.signal(signal.SIGTERM, self._before)

    def _came_now(self, _: int, __: FrameType | None) -> None:
        self._came = True

    def now(self) -> bool:
        """Whether to stop now; the same answer on all processes, which ask at the same places and equally often."""
        return self._came if self._alone else multihost_utils.reached_preemption_sync_point(next(_ASKED))
