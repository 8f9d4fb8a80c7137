"""Commands of reeval in several processes on this machine, as hosts of one run."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

DEVICES = 4


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Processes:
    """`count` processes of one command; `devices` virtual ones each. One process is started without --distributed."""

    def __init__(
        self,
        count: int,
        *arguments: str,
        devices: int = DEVICES,
        environment: Mapping[str, str] | None = None,
        file_bytes: int | None = None,
    ):
        """`file_bytes`: no file may grow beyond."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)} | dict(environment or {})
        limit = ["bash", "-c", f'ulimit -f {file_bytes // 1024}; exec "$@"', "-"] if file_bytes else []
        self.all = [
            subprocess.Popen(
                [
                    *limit, sys.executable, "-m", "reeval.cli", *arguments,
                    *([f"--distributed=127.0.0.1:{port},{count},{index}"] if count > 1 else []),
                ],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for index in range(count)
        ]  # fmt: skip

    def end(self, timeout: float = 600) -> list[Ended]:
        """Of each process, once all are done."""
        try:
            outputs = [process.communicate(timeout=timeout) for process in self.all]
        except BaseException:
            for process in self.all:
                process.kill()
            raise
        return [Ended(process.returncode, *output) for process, output in zip(self.all, outputs, strict=True)]

    def done(self, timeout: float = 600) -> str:
        """What the first one printed; all of them must succeed."""
        ended = self.end(timeout)
        assert all(each.code == 0 for each in ended), [(each.code, each.err[-2000:]) for each in ended]
        assert not any(each.out for each in ended[1:]), "only the first process speaks"
        return ended[0].out


def flags(**values: object) -> list[str]:
    """`config__train__steps=3` as --config.train.steps=3."""
    return [f"--{name.replace('__', '.')}={value}" for name, value in values.items()]


def files(directory: Path) -> set[str]:
    """Of a directory, by name; those whose names hold a time or a process are told apart by their folder alone."""
    found = [path.relative_to(directory) for path in directory.rglob("*") if path.is_file()]
    return {str(path.parent / "events") if "tfevents" in path.name else str(path) for path in found}
