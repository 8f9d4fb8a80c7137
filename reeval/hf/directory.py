"""A directory that appears whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# What tells a directory that we may replace from one that was named by mistake.
_MARKS = ("config.json", "adapter_config.json")


@contextlib.contextmanager
def appearing(out: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new directory to fill; it takes the name `out` when the block ends well and goes away if it fails.

    Args:
        overwrite: replace a model or adapter directory that is there.
    Raises:
        ValueError: if `out` is a file or a directory that is not empty and may not be replaced.
    """
    out = Path(out).absolute()
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file; give a directory")
    replaced = out.is_dir() and any(out.iterdir())
    if replaced and not overwrite:
        raise ValueError(f"{out}: not empty; give another directory or empty this one")
    if replaced and not any((out / mark).is_file() for mark in _MARKS):
        raise ValueError(f"{out}: not empty and not a model directory; it is not overwritten")
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        _share_as_usual(made)
        yield made
        _sync(made)
        if replaced:
            # No call exchanges two directories everywhere; for a moment the name is free, never half-written.
            old = made.with_name(f"{made.name}.old")
            out.rename(old)
            made.rename(out)
            shutil.rmtree(old)
        else:
            made.rename(out)
        _sync_entry(out.parent)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


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
