"""A process of its own for each side of a benchmark, so that neither has the other's threads, memory or settings.

Sides are made once and then asked in turn; the one that waits takes no time from the other.
"""

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


class Worker:
    """What `make(*arguments)` gives, living in another process."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def __call__(self, method: str, *arguments: Any) -> Any:
        """Call a method there.

        Raises:
            ValueError: if it did.
            RuntimeError: whatever else went wrong there.
        """
        with contextlib.suppress(BrokenPipeError):
            self._connection.send((method, arguments))
        return self._received()

    def _received(self) -> Any:
        try:
            kind, value = self._connection.recv()
        except EOFError:
            raise RuntimeError("a process of the benchmark died; it may have run out of memory") from None
        if kind == "value":
            return value
        raise ValueError(value) if kind == "mistake" else RuntimeError(value)


@contextlib.contextmanager
def worker(make: Callable[..., Any], *arguments: Any, environment: Mapping[str, str] | None = None) -> Iterator[Worker]:
    """Start a process; it ends with the block.

    Args:
        make: of a module's top level, so that it can be named to the process.
        environment: what its environment has beside ours, seen by libraries as they are imported.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, dict(environment or {}), make, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        made = Worker(ours)
        made._received()
        yield made
    finally:
        ours.close()  # which ends the process's loop
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(connection: Connection, environment: Mapping[str, str], make: Any, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    os.environ.update(environment)
    made: Any = None
    try:
        made = make(*arguments)
        connection.send(("value", None))
        while True:
            method, given = connection.recv()
            connection.send(("value", getattr(made, method)(*given)))
    except EOFError:
        return
    except ValueError as error:
        connection.send(("mistake", " ".join(str(error).split())))
    except Exception as error:
        connection.send(("failure", _described(error)))


def _described(error: Exception) -> str:
    """What went wrong and where; in its own words only where they are sure to quote no report."""
    said = f": {' '.join(str(error).split())}" if isinstance(error, RuntimeError) else ""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}{said}"


def peak_resident() -> int:
    """The most memory that this process has held, in bytes; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
