"""A directory that appears whole or not at all."""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from reprlib import repr as short

# What tells a directory that we may replace from one that was named by mistake.
_MARKS = ("config.json", "adapter_config.json")
# With room for what an unfinished one is called.
_LONGEST = 200
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def appearing(out: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new directory to fill; it takes the name `out` when the block ends well and goes away if it fails.

    If the process is killed, what it had made stays behind as a hidden directory beside `out`, which the next
    one to make `out` removes.

    Args:
        out: where it is a link, what it points to is made.
        overwrite: replace a model or adapter directory that is there.
    Raises:
        ValueError: if `out` is a file or a directory that is not empty and may not be replaced.
        OSError: if it cannot be written; it names `out` if the disk is full.
    """
    out = Path(out).resolve()
    if long := [part for part in out.parts if len(part.encode()) > _LONGEST]:
        raise ValueError(f"{short(long[0])}: is too long for the name of a directory; give another")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file; give a directory")
    replaced = out.is_dir() and any(out.iterdir())
    if replaced and not overwrite:
        raise ValueError(f"{out}: not empty; give another directory or empty this one")
    if replaced and not any((out / mark).is_file() for mark in _MARKS):
        raise ValueError(f"{out}: not empty and not a model directory; it is not overwritten")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{short(str(out.parent))}: {error.strerror}; give another directory") from None
    unfinished = f".{out.name}.unfinished-"
    _sweep(out.parent, unfinished)
    made = Path(tempfile.mkdtemp(dir=out.parent, prefix=unfinished))
    try:
        with _locked(made):
            _share_as_usual(made)
            yield made
            _sync(made)
            if replaced:
                # No call exchanges two directories everywhere; for a moment the name is free, never half-written.
                old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.replaced-"))
                out.rename(old)
                made.rename(out)
                shutil.rmtree(old)
            else:
                made.rename(out)
            _sync_entry(out.parent)
    except BaseException as error:
        shutil.rmtree(made, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            # Of itself it names no file, or the one that was being copied.
            raise OSError(error.errno, os.strerror(error.errno), str(out)) from None
        raise


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Hold the directory as long as this process lives; False if another does, or locks are not to be had here."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = True
    except OSError:
        held = False
    try:
        yield held
    finally:
        os.close(handle)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove what killed processes have left."""
    for name in os.listdir(parent):
        if name.startswith(prefix):
            with contextlib.suppress(OSError), _locked(parent / name) as abandoned:
                if abandoned:
                    shutil.rmtree(parent / name)


def _share_as_usual(directory: Path) -> None:
    # mkdtemp's directories are for their owner alone; this one is to be like any that mkdir makes.
    mask = os.umask(0)
    os.umask(mask)
    directory.chmod(0o777 & ~mask)


def _sync(directory: Path) -> None:
    for path in directory.rglob("*"):
        _sync_entry(path)
    _sync_entry(directory)


def _sync_entry(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
