"""What a run says of its speed."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

from reeval.train import log
from reeval.train.log import Log


def test_speeds_are_of_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count(100.0, 0.5)  # of each look at the clock
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: next(now)))
    writer = SummaryWriter(str(tmp_path))
    made = Log(writer, every=1, token_share=0.01)
    metrics = {"loss": jnp.ones(()), "gradient_norm": jnp.ones(()), "padding": jnp.full((), 0.25)}
    assert made.add(1, metrics, [], 1000) == (1, "loss 1.0000, 1,500 tokens/s, 1500.0% of peak")
    with made.paused():
        for _ in range(200):
            next(now)
    made.add(2, metrics, [], 1000)
    writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    # The clock is looked at twice more, around what is left out.
    assert [event.value for event in events.Scalars("train/tokens_per_second")] == [1500.0, 750.0]
