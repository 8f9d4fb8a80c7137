"""Our side of the comparison of training: the step of `reeval train`, over its own batches, on one device."""

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reeval import hf, lora, sharding
from reeval.bench.train_task import TrainRun, TrainTask, conversations, stream
from reeval.bench.worker import peak_resident
from reeval.run import add_adapters, load_base, lora_config
from reeval.train.step import init_state, make_train_step, optimizer_of, options_of, state_placement


class TrainOurs:
    """Takes the steps of a task's config."""

    def __init__(self, task: TrainTask):
        """Raises ValueError as `hf.load_model` does, or if pairs do not fit."""
        self.config = config = task.read()
        self.mesh = sharding.single_device_mesh()
        model, _ = load_base(config, self.mesh)
        add_adapters(config, model, self.mesh)
        parts, self.adapter, self.base = lora.take_apart(model)
        del model
        self.tx, schedule = optimizer_of(config)
        placed = jax.tree.map(lambda x: x.sharding, self.adapter)
        self.placement = state_placement(self.mesh, self.tx, self.adapter, placed)
        self.step = make_train_step(parts, self.tx, schedule, self.mesh, self.placement, options_of(config))
        self.examples, self.prefixes = conversations(config)
        self.start()

    def write_adapter(self, out: Path) -> None:
        """What this side begins with, as a PEFT directory."""
        hf.save_adapter(out, self.config.model.path, self.adapter, lora_config(self.config))

    def start(self) -> None:
        """Begin anew: the first weights, the first batch."""
        fresh = jax.tree.map(lambda x: x.copy(), self.adapter)  # the step uses its state up
        self.state = init_state(self.tx, fresh, self.placement)
        self.data = iter(stream(self.config, self.examples, self.prefixes))
        self.padding: list[float] = []
        self.computed = 0

    def run(self, steps: int) -> TrainRun:
        """The next steps."""
        losses = []
        began = time.perf_counter()
        for _ in range(steps):
            rows = next(self.data)
            rows.pop("examples")
            self.computed += int(np.count_nonzero(rows["segments"]))
            accumulated = {
                name: value.reshape(self.config.train.accumulation, -1, *value.shape[1:])
                for name, value in rows.items()
            }
            batch = sharding.to_device(self.mesh, accumulated, leading=1)
            self.state, metrics = self.step(self.state, self.base, batch)
            losses.append(metrics)
        made = [jax.device_get(each) for each in losses]
        seconds = time.perf_counter() - began
        self.padding += [float(each["padding"]) for each in made]
        return TrainRun(seconds, [float(each["loss"]) for each in made])

    def about(self) -> dict[str, Any]:
        """What this side runs on, and what its batches are like."""
        return {
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "padding": float(np.mean(self.padding)),
            "computed_tokens": self.computed,
            "compilations": self.step._cache_size(),
        }

    def peak_memory(self) -> int:
        """Bytes: of the device if it says, otherwise of the process."""
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use") or peak_resident()
