"""Training checkpoints: trained weights, optimizer, data iterator, config and versions, all or nothing.

Orbax writes each into a directory of its own that appears when it is complete. Saving waits for the disk: the state
of an adapter is small, that of a small model too, and a run that is killed right after must find it. All processes of a
run save and restore together, and a run may go on with another number of them.
"""

import gc
import logging
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
from etils import epath
from etils.epath import PathLike
from orbax.checkpoint import v1 as ocp

from reeval.bucket import is_url
from reeval.train.step import TrainState

T = TypeVar("T")


class Checkpoints:
    """The checkpoints of one run, under `directory`; the newest `keep` stay."""

    def __init__(self, directory: PathLike, *, keep: int = 2):
        self._directory = directory
        self._checkpointer = ocp.training.Checkpointer(
            directory if is_url(directory) else epath.Path(directory).absolute(),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        )

    @property
    def latest_step(self) -> int | None:
        """The step of the newest complete checkpoint, None if there is none."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, state: TrainState, data: Any, record: dict[str, Any]) -> None:
        """Save after a step.

        Args:
            data: the batch iterator, the same on all processes.
            record: JSON-able facts of the run: config, versions.
        Raises:
            OSError: if it cannot be written; older checkpoints are as they were.
        """
        step = int(state.step)
        # Called so whatever it is that is trained, as runs of before have it.
        parts = {"adapter": state.trained, "training": _training(state)}
        record = {"run": record, "data": data.get_state()}
        try:
            options: Any = {"force": True, "overwrite": True, "custom_metadata": record}
            _quietly(partial(self._checkpointer.save_checkpointables, step, parts, **options))
        except Exception as error:
            raise OSError(
                f"{self._directory}: the checkpoint of step {step} cannot be written ({_reason(error)}); those before "
                "are intact: make room and run the same command again"
            ) from None

    def restore(self, like: TrainState, data: Any) -> TrainState | None:
        """The newest state that can be read, placed as `like` is; winds `data` to where it stood. None: there is none.

        Raises:
            ValueError: if there are checkpoints and none can be read, or `data` cannot go on where they stand.
        """
        newest = self._newest({"adapter": like.trained, "training": _training(like)})
        if newest is None:
            return None
        step, restored = newest
        try:
            data.set_state(self._checkpointer.checkpointables_metadata(step).custom_metadata["data"])
        except ValueError as error:
            raise ValueError(f"{self._directory}/{step}: {error}") from None
        training = restored["training"]
        # Orbax gives plain tuples for optax's named ones; the leaves and their order are the same.
        optimizer = jax.tree.unflatten(jax.tree.structure(like.optimizer), jax.tree.leaves(training["optimizer"]))
        return TrainState(training["step"], restored["adapter"], optimizer)

    def _newest(self, wanted: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """The newest checkpoint that can be read, and of it what is wanted; None if there is no checkpoint."""
        steps = sorted((checkpoint.step for checkpoint in self._checkpointer.checkpoints), reverse=True)
        for step in steps:
            try:
                return step, _quietly(partial(self._checkpointer.load_checkpointables, step, wanted))
            except Exception as error:
                said = f"{self._directory}/{step}: cannot be read ({_reason(error)})"
                if step == steps[-1]:
                    raise ValueError(f"{said}, nor can any other; restore it or choose another --workdir") from None
                print(f"reeval: {said}; the checkpoint before it is taken", file=sys.stderr, flush=True)
        return None

    @classmethod
    def newest_trained(cls, directory: PathLike, like: dict[str, Any]) -> tuple[int, dict[str, jax.Array]]:
        """The step and the trained weights of the newest checkpoint.

        Args:
            like: of these weights, arrays or shapes with shardings: where they are to be.

        Raises:
            ValueError: if there is none.
        """
        if not epath.Path(directory).is_dir():
            raise ValueError(f"{directory}: there is no checkpoint yet; `reeval train` makes one")
        checkpoints = cls(directory)
        try:
            newest = checkpoints._newest({"adapter": like})
            if newest is None:
                raise ValueError(f"{directory}: holds no complete checkpoint yet; `reeval train` makes one")
            return newest[0], newest[1]["adapter"]
        finally:
            checkpoints.close()

    def close(self) -> None:
        self._checkpointer.close()


def _training(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "optimizer": state.optimizer}


def _quietly(call: Callable[[], T]) -> T:
    """What it gives; what goes wrong comes as a RuntimeError of one line, which orbax alone would also log, with the
    tracebacks of its threads."""
    loggers = [logging.getLogger(name) for name in ("absl", "concurrent.futures", "asyncio")]
    for logger in loggers:
        logger.disabled = True
    hook = sys.unraisablehook
    sys.unraisablehook = partial(_unless_late, hook)
    try:
        made = call()
    except Exception as error:
        reason = _reason(error)
    else:
        sys.unraisablehook = hook
        for logger in loggers:
            logger.disabled = False
        return made
    # These stay off, as threads still end. Coroutines that nobody waits for any more complain as they go.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()
    raise RuntimeError(reason)


def _unless_late(hook: Callable[[Any], object], unraisable: Any) -> None:
    """Of each array that is read after another could not be, tensorstore finds that nobody waits for it any more."""
    if "Event loop is closed" not in str(unraisable.exc_value):
        hook(unraisable)


def _reason(error: BaseException) -> str:
    """What is at the bottom of it, in one line, without what libraries add about their own sources."""
    while error.__cause__ or (error.__context__ and not error.__suppress_context__):
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    said = str(error).strip().splitlines() or [type(error).__name__]
    return said[0][:300]
