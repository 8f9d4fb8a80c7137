"""What a run says of its steps: on the disk at once, with the speed of training alone."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reeval.train import log
from reeval.train.log import Log
from reeval.train.scalars import Scalars


def test_speeds_are_of_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count(100.0, 0.5)  # of each look at the clock
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: next(now)))
    scalars = Scalars(tmp_path, after=0)
    made = Log(scalars, every=1, token_share=0.01)
    metrics = {"loss": jnp.ones(()), "gradient_norm": jnp.ones(()), "padding": jnp.full((), 0.25)}
    assert made.add(1, metrics, [], 1000) == (1, "loss 1.0000, 1,500 tokens/s, 1500.0% of peak")
    with made.paused():
        for _ in range(200):
            next(now)
    made.add(2, metrics, [], 1000)
    # Nothing is closed yet: what was added is on the disk.
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    scalars.close()
    # The clock is looked at twice more, around what is left out.
    assert [event.value for event in events.Scalars("train/tokens_per_second")] == [1500.0, 750.0]


def test_a_run_that_goes_on_takes_the_place_of_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    for after, steps, value in ((0, 7, 1.0), (4, 3, 2.0)):
        scalars = Scalars(tmp_path, after=after)
        for step in range(after + 1, after + 1 + steps):
            scalars.add(step, {"train/loss": value, "train/kl": -value})
        scalars.close()
    Scalars(tmp_path, after=9, written=False).add(10, {"train/loss": 3.0})
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 8))
    assert [event.value for event in events.Scalars("train/kl")] == [-1.0] * 4 + [-2.0] * 3
