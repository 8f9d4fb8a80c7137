"""Files that are there whole or not at all, and readable by their owner alone where they hold report text."""

import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that another process sees complete or not at all; text as UTF-8."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class LineLog:
    """A JSON Lines file that grows by whole lines and survives being killed between any two instructions.

    Readable by its owner alone: verdicts quote reports. One process at a time may hold it.

    Args:
        follows: of a process of several that have the same rows, of which another one writes: nothing is written.
    Raises:
        ValueError: if another process holds it, or a line is no JSON object.
    """

    def __init__(self, path: Path, *, follows: bool = False):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._follows = follows
        if follows:
            self._file: Any = path.open("rb")
            self.rows = [_row(path, number, line) for number, line in enumerate(self._file, start=1)]
            return
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = self._file.read()
            # What follows the last line break was cut short by a kill.
            whole = content[: content.rfind(b"\n") + 1]
            self.rows = [_row(path, number, line) for number, line in enumerate(whole.splitlines(), start=1)]
        except BlockingIOError:
            self._file.close()
            raise ValueError(f"{path}: another process is writing it; wait for it or stop it") from None
        except ValueError:
            self._file.close()
            raise
        self._file.truncate(len(whole))
        self._file.seek(len(whole))

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add rows; on return they are on the disk."""
        self.rows += rows
        if self._follows:
            return
        self._file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise TypeError
    except (ValueError, TypeError):
        raise ValueError(f"{path}:{number}: damaged; remove the line, and what it held is made anew") from None
    return row
