"""What a run says of its steps: means to TensorBoard, a note to the progress line, a word when the loss is lost."""

import contextlib
import math
import time
from collections.abc import Iterator

import jax
import numpy as np

from reeval.train.scalars import Scalars


class Log:
    """Means of the metrics over `every` steps, to TensorBoard."""

    def __init__(self, scalars: Scalars, *, every: int, token_share: float | None):
        """
        Args:
            token_share: what one token a second is of the devices' peak in bfloat16; None if that is not known.
        """
        self.scalars, self.every, self.token_share = scalars, every, token_share
        self.rows: list[dict[str, float]] = []
        self.tokens = 0.0
        self.since, self.speed = time.monotonic(), ""

    def add(self, step: int, metrics: dict[str, jax.Array], shown: list[str], size: int) -> tuple[int, str]:
        """Take in a step's metrics; gives the step and a note for the progress line.

        Args:
            shown: ids of the pairs that the step saw.
            size: of its batch in tokens, padding counted.
        Raises:
            FloatingPointError: if the loss or the gradient is no number.
        """
        row = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not math.isfinite(row["loss"]) or not math.isfinite(row["gradient_norm"]):
            raise FloatingPointError(
                f"step {step}: the loss is {row['loss']}, the gradient norm {row['gradient_norm']}; lower the learning "
                "rate or the norm that gradients are clipped to in config.train, and start from the last checkpoint"
                + (f". The step saw the pairs {', '.join(shown)}" if shown else "")
            )
        self.rows.append(row)
        self.tokens += size * (1.0 - row["padding"])
        if step % self.every == 0:
            now = time.monotonic()
            mean = {name: float(np.mean([r[name] for r in self.rows])) for name in row}
            mean["tokens_per_second"] = self.tokens / (now - self.since)
            speed = f", {mean['tokens_per_second']:,.0f} tokens/s"
            if self.token_share is not None:
                mean["share_of_peak"] = self.token_share * mean["tokens_per_second"]
                speed += f", {mean['share_of_peak']:.1%} of peak"
            self.scalars.add(step, {f"train/{name}": value for name, value in mean.items()})
            self.rows, self.tokens, self.since, self.speed = [], 0.0, now, speed
        return step, f"loss {row['loss']:.4f}{self.speed}"

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What takes its time inside is no training: speeds leave it out."""
        began = time.monotonic()
        yield
        self.since += time.monotonic() - began
