"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0

Advance = Callable[[int, str], None]


@contextmanager
def progress(what: str, total: int, *, done: int = 0, shown: bool = True) -> Iterator[Advance]:
    """Gives a function of (units finished in all, a note such as the loss)."""
    if not shown:
        yield lambda finished, note: None
        return
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console) as bar:
            task = bar.add_task(what, total=total, completed=done, note="")
            yield lambda finished, note: bar.update(task, completed=finished, note=note)
        return
    began, last = time.monotonic(), 0.0

    def line(finished: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if finished >= total or now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            left = (total - finished) * (now - began) / max(1, finished - done)
            said = [f"{what} {finished}/{total}", note, f"{_span(left)} left" if finished < total else ""]
            print(" ".join(part for part in said if part), file=sys.stderr, flush=True)

    yield line


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
