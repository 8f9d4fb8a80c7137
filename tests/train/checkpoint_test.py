"""Checkpoints on a disk that does not do what it should."""

import random
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reeval.train.checkpoint import Checkpoints
from reeval.train.step import TrainState

TX = optax.adam(1e-3)
# Orbax leaves coroutines behind where it fails, which complain when they are collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Batches:
    """An iterator that is nothing but its state."""

    def __init__(self, at: int):
        self.at = at

    def get_state(self) -> dict[str, Any]:
        return {"at": self.at, "parts": [{"deep": [1, 2.5]}]}

    def set_state(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


def state(step: int) -> TrainState:
    noise = np.random.default_rng(step)
    adapter = {"a": jnp.asarray(noise.standard_normal((90, 40)), jnp.float32), "b": jnp.full(7, float(step))}
    return TrainState(jnp.asarray(step, jnp.int32), adapter, TX.init(adapter))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """With checkpoints of steps 10 and 20."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (5, 10, 20):
        checkpoints.save(state(step), Batches(step), {"config": {"x": 1}})
    checkpoints.close()
    return tmp_path / "checkpoints"


def restored(directory: Path) -> tuple[int, int]:
    """The step that a run would go on after, and where its data then stands."""
    checkpoints, data = Checkpoints(directory), Batches(0)
    made = checkpoints.restore(state(0), data)
    checkpoints.close()
    assert made is not None
    step = int(made.step)
    jax.tree.map(np.testing.assert_array_equal, made, state(step))
    return step, data.at


def largest(directory: Path) -> Path:
    return max((path for path in directory.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def test_the_newest_is_taken_and_two_are_kept(directory: Path) -> None:
    assert restored(directory) == (20, 20)
    assert {path.name for path in directory.iterdir()} == {"10", "20"}
    assert Checkpoints(directory / "none").restore(state(0), Batches(0)) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "missing", "unfinished"])
def test_one_that_cannot_be_read_gives_way_to_the_one_before_and_is_made_anew(
    directory: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = largest(directory / "20")
    content = path.read_bytes()
    assert len(content) > 10_000
    if damage == "missing":
        path.unlink()
    elif damage == "unfinished":
        (directory / "20").rename(directory / "20.orbax-checkpoint-tmp")
    else:
        garbage = content[:1000] + random.Random(0).randbytes(len(content) - 2000) + content[-1000:]
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "garbage": garbage}[damage])
    assert restored(directory) == (10, 10)
    said = capfd.readouterr().err
    if damage != "unfinished":
        (line,) = said.splitlines()
        assert line.startswith(f"reeval: {directory}/20: cannot be read (")
        assert line.endswith("); the checkpoint before it is taken")
    checkpoints = Checkpoints(directory)
    checkpoints.save(state(20), Batches(21), {})
    checkpoints.close()
    assert restored(directory) == (20, 21)


def test_where_none_can_be_read_it_is_an_error_and_not_a_new_run(directory: Path) -> None:
    for step in ("10", "20"):
        largest(directory / step).unlink()
    with pytest.raises(ValueError, match=r"10: cannot be read \(.*\), nor can any other; restore it"):
        restored(directory)


def test_batches_that_cannot_go_on_where_a_checkpoint_stands_are_no_new_run(directory: Path) -> None:
    class Other(Batches):
        def set_state(self, state: dict[str, Any]) -> None:
            raise ValueError(f"batch {state['at']} is of another order")

    checkpoints = Checkpoints(directory)
    with pytest.raises(ValueError, match=r"^.*checkpoints/20: batch 20 is of another order$"):
        checkpoints.restore(state(0), Other(0))
    checkpoints.close()
