"""No more than so many requests a minute, whoever of several threads asks."""

import threading
import time


class Pace:
    """Requests at equal distances: a server that counts by the minute sees no burst that it would refuse.

    per_minute: 0 for no limit.
    """

    def __init__(self, per_minute: int):
        self._seconds = 60.0 / per_minute if per_minute else 0.0
        self._lock = threading.Lock()
        self._free = 0.0

    def wait(self, stopped: threading.Event) -> None:
        """Return when a request may go out, or when `stopped` is set."""
        if not self._seconds:
            return
        with self._lock:
            mine = max(self._free, time.monotonic())
            self._free = mine + self._seconds
        stopped.wait(max(0.0, mine - time.monotonic()))
