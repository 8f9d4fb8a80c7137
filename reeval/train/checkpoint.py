"""Training checkpoints: adapter, optimizer, data iterator, config and versions, all or nothing.

Orbax writes each into a directory of its own that appears when it is complete. Saving waits for the disk: the state
of an adapter is small, and a run that is killed right after must find it.
"""

from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from reeval.train.step import TrainState


class Checkpoints:
    """The checkpoints of one run, under `directory`; the newest `keep` stay."""

    def __init__(self, directory: Path, *, keep: int = 2):
        self._checkpointer = ocp.training.Checkpointer(
            directory.absolute(),
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
            data: the batch iterator, which orbax asks for its state.
            record: JSON-able facts of the run: config, versions.
        """
        step = int(state.step)
        parts = {"adapter": state.adapter, "training": _training(state), "data": data}
        self._checkpointer.save_checkpointables(step, parts, force=True, custom_metadata=record)

    def restore(self, like: TrainState, data: Any) -> TrainState:
        """The newest state, placed as `like` is; winds `data` forward to where it stood."""
        wanted = {"adapter": like.adapter, "training": _training(like), "data": data}
        restored = self._checkpointer.load_checkpointables(None, wanted)
        training = restored["training"]
        # Orbax gives plain tuples for optax's named ones; the leaves and their order are the same.
        optimizer = jax.tree.unflatten(jax.tree.structure(like.optimizer), jax.tree.leaves(training["optimizer"]))
        return TrainState(training["step"], restored["adapter"], optimizer)

    @classmethod
    def newest_adapter(cls, directory: Path, like: dict[str, Any]) -> tuple[int, dict[str, jax.Array]]:
        """The step and the adapter of the newest checkpoint, placed as `like` (arrays, or shapes with shardings) is.

        Raises:
            ValueError: if there is none.
        """
        if not directory.is_dir():
            raise ValueError(f"{directory}: there is no checkpoint yet; `reeval train` makes one")
        checkpoints = cls(directory)
        try:
            step = checkpoints.latest_step
            if step is None:
                raise ValueError(f"{directory}: holds no complete checkpoint yet; `reeval train` makes one")
            return step, checkpoints._checkpointer.load_checkpointables(step, {"adapter": like})["adapter"]
        finally:
            checkpoints.close()

    def close(self) -> None:
        self._checkpointer.close()


def _training(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "optimizer": state.optimizer}
