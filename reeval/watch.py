"""One of several processes in the care of another: jax ends a process that has lost its peers by SIGABRT, in no words
of ours and without a chance to say any."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

# The exit code of a run that was cut short and goes on with the same command: sysexits' EX_TEMPFAIL.
STOPPED = 75


def over() -> None:
    """Go on in a new process. This one waits for it, passes signals on, and ends as it does; to be called before there
    are threads."""
    read, write = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(write)
        # Not to outlive the one that was started, and that others know.
        threading.Thread(target=_end_with, args=(read,), daemon=True).start()
        return
    os.close(read)

    def passed_on(number: int, _: FrameType | None) -> None:
        os.kill(worker, number)

    signal.signal(signal.SIGTERM, passed_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    if code == -signal.SIGABRT:
        leave()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def leave() -> NoReturn:
    """End this process at once, as one that has lost another: jax would wait for that one."""
    print(
        "reeval: a process of this run is gone, or this one failed; start all of them again, and the run goes on from "
        "its last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    os._exit(STOPPED)


def _end_with(pipe: int) -> None:
    os.read(pipe, 1)  # returns when the other end is gone
    os.kill(os.getpid(), signal.SIGKILL)
