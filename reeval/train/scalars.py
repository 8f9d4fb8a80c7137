"""Scalars for TensorBoard that are on the disk when they are added, so that a kill loses none of a saved step.

tensorboardX writes from a queue that its `flush` does not wait for.
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class Scalars:
    """An event file in `directory`; what earlier files there say of steps after `after` counts no more.

    written: whether there is a file at all.
    """

    def __init__(self, directory: Path, *, after: int, written: bool = True):
        self._file = None
        if written:
            directory.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads files in the order of their names.
            name = f"events.out.tfevents.{int(time.time()):010d}.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
            self._file = RecordWriter((directory / name).open("xb"))
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
            begins = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=after + 1, session_log=begins))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Raises OSError if they cannot be written."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, event: Event) -> None:
        if self._file is not None:
            self._file.write(event.SerializeToString())
            self._file.flush()
