"""A trace of some training steps, for TensorBoard's profiler and xprof."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax


class Profile:
    """Traces the steps from the first to the last of `steps` into `directory`; an empty `steps` traces nothing."""

    def __init__(self, directory: Path, steps: Sequence[int]):
        """Raises ValueError if `steps` is no range of steps."""
        if steps and (len(steps) != 2 or not 0 < steps[0] <= steps[1]):
            raise ValueError(f"config.profile.steps={tuple(steps)} must be a first and a last step, such as 10,15")
        self.directory, self.steps, self.running = directory, tuple(steps), False

    def step(self, step: int) -> AbstractContextManager[object]:
        """To be entered while a step is begun; names it in the trace."""
        if self.steps and step == self.steps[0]:
            jax.profiler.start_trace(str(self.directory))
            self.running = True
        return jax.profiler.StepTraceAnnotation("train", step_num=step) if self.running else nullcontext()

    def after(self, step: int, made: Any) -> None:
        """To be called after it, with what it made."""
        if self.running and step == self.steps[1]:
            self.close(made)

    def close(self, made: Any = ()) -> None:
        """End a trace that runs, with what is still at work in it."""
        if self.running:
            jax.block_until_ready(made)
            jax.profiler.stop_trace()
            self.running = False
