"""Checkpoints of real size in and out, each step in a process of its own with its peak memory.

  python tests/real_checkpoint.py --model=medgemma_4b --directory=DIR    # 8.6 GB of disk and as much for the export
  python tests/real_checkpoint.py --model=qwen3_8b --directory=DIR       # 16.4 GB and as much; 19 GB of memory

Writes random weights of the exact shape to DIR, which must be new, loads them, exports them with a random adapter,
merged and as an adapter, compares all of it tensor by tensor with what the files hold, and removes DIR. The exit code
is 1 if a step takes more memory than it may or something differs. `--scale=0.1` does the same at a tenth of the size.

The memory of a step is VmHWM of its process when it is done, before the comparison: the most that was ever resident,
Python, JAX and mapped files included. At a smaller scale the limits shrink with the checkpoint; Python and JAX do not,
and what they take, measured in a process that only imports them, is then granted on top.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
LOADING = 1.15  # bytes of memory for each that is loaded
EXPORTING = 4e9  # bytes of memory in all
SHARDS = {"qwen3_8b": 5, "medgemma_4b": 2}


class Row(NamedTuple):
    """A step: its time, its peak memory in bytes, the bytes of the tensors that it loads, and what was compared."""

    step: str
    seconds: float
    peak: float
    loaded: int
    compared: int
    wrong: str
    limit: float | None = None

    @property
    def ok(self) -> bool:
        return not self.wrong and (self.limit is None or self.peak <= self.limit)


class Task(NamedTuple):
    """What a step's process is told. Libraries are imported in the steps, so that each has only its own in memory."""

    model: str
    directory: Path
    scale: float

    @property
    def base(self) -> Path:
        return self.directory / "base"


# A step gives the bytes that it has loaded, and what compares its outcome.
Outcome = tuple[int, Callable[[], Iterator[tuple[str, bool]]]]


def only_import(task: Task) -> Outcome:
    import jax

    import reeval.export  # noqa: F401

    jax.devices()
    return 0, lambda: iter(())


def write(task: Task) -> Outcome:
    import real_comparisons
    import real_shapes

    real_shapes.write(task.base, task.model, task.scale)
    wanted = real_shapes.shapes(real_shapes.scaled(real_shapes.MODELS[task.model], task.scale))
    return 0, lambda: real_comparisons.written(task.base, wanted, SHARDS[task.model])


def load(task: Task, *, images: bool = True) -> Outcome:
    import real_comparisons

    from reeval import hf

    model = hf.load_model(task.base, dtype="bfloat16", images=images)
    tensors = real_comparisons.stored(task.base)
    skipped = [] if images else [name for name in tensors if re.match(real_comparisons.OF_IMAGES, name)]
    held = sum(2 * tensor.size for name, tensor in tensors.items() if name not in skipped)
    return held, lambda: real_comparisons.loaded(task.base, task.model, model, images=images)


def load_decoder(task: Task) -> Outcome:
    return load(task, images=False)


def export_merged(task: Task) -> Outcome:
    from reeval import hf

    adapter, config = _adapter(task.base)
    hf.save_merged(task.directory / "merged", task.base, adapter, config, max_shard_bytes=int(5e9 * task.scale))
    return 0, lambda: iter(())


def export_adapter(task: Task) -> Outcome:
    import real_comparisons

    from reeval import hf

    adapter, config = _adapter(task.base)
    hf.save_adapter(task.directory / "adapter", task.base, adapter, config)
    return 0, lambda: real_comparisons.exported(task.base, task.directory / "merged", task.directory / "adapter")


def _adapter(base: Path) -> tuple[dict[str, Any], Any]:
    """A random adapter of rank 16 on all projections, by the paths of our parameters, the same at each call."""
    import numpy as np
    from flax import nnx

    from reeval import hf, lora
    from reeval.models import port_of

    shape, config = hf.load_config(base), lora.LoRAConfig()

    def make() -> nnx.Module:
        model = port_of(shape)(shape, rngs=nnx.Rngs(0))
        lora.add(model, config, hf.module_name, rngs=nnx.Rngs(0))
        return model

    noise = np.random.default_rng(1)
    abstract = lora.take_apart(nnx.eval_shape(make))[1]
    return {name: noise.standard_normal(x.shape, np.float32) * np.float32(0.03) for name, x in abstract.items()}, config


STEPS: dict[str, Callable[[Task], Outcome]] = {
    "import": only_import,
    "write": write,
    "load": load,
    "load the decoder alone": load_decoder,
    "export merged": export_merged,
    "export an adapter": export_adapter,
}


def step(name: str, task: Task) -> Row:
    """One step, in this process."""
    started = time.monotonic()
    held, compare = STEPS[name](task)
    seconds, peak = time.monotonic() - started, _peak()
    results = list(compare())
    wrong = [what for what, right in results if not right]
    return Row(name, seconds, peak, held, len(results), f"{len(wrong)} differ: {', '.join(wrong[:3])}" if wrong else "")


def _peak() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024.0 for line in status if line.startswith("VmHWM:"))


def run(model: str, directory: Path, scale: float = 1.0) -> list[Row]:
    """All steps, each in a process of its own, up to the first that fails; `directory` is made and removed."""
    directory.mkdir(parents=True)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    rows: list[Row] = []
    try:
        for name in STEPS:
            if name == "load the decoder alone" and model == "qwen3_8b":
                continue
            done = subprocess.run(
                [
                    sys.executable, __file__, f"--model={model}", f"--directory={directory}", f"--scale={scale}",
                    f"--step={name}",
                ],
                env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
                stdout=subprocess.PIPE,
                text=True,
            )  # fmt: skip
            if done.returncode:
                return [*rows, Row(name, 0, 0, 0, 0, f"exit code {done.returncode}")]
            row = Row(*json.loads(done.stdout.splitlines()[-1]))
            rows.append(row._replace(limit=_limit(row, rows[0].peak if rows else 0, scale)))
    finally:
        shutil.rmtree(directory)
    return rows


def _limit(row: Row, imports: float, scale: float) -> float | None:
    granted = 0 if scale == 1 else imports
    if row.loaded:
        return granted + LOADING * row.loaded
    return granted + EXPORTING * scale if row.step.startswith("export") else None


def show(title: str, rows: list[Row]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("step", title=title, box=SIMPLE)
    for column in ("seconds", "peak GB", "of the bytes", "limit GB", "tensors compared"):
        table.add_column(column, justify="right")
    table.add_column("", overflow="fold")
    for row in rows:
        share = f"{row.peak / row.loaded:.3f}" if row.loaded else ""
        limit = f"{row.limit / 1e9:.2f}" if row.limit is not None else ""
        said = "ok" if row.ok else row.wrong or "too much memory"
        table.add_row(
            row.step, f"{row.seconds:.1f}", f"{row.peak / 1e9:.2f}", share, limit, str(row.compared or ""), said
        )
    Console(width=max(110, Console().width)).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHARDS, required=True)
    parser.add_argument("--directory", type=Path, required=True, help="to be made, and removed at the end")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the real size")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(step(args.step, Task(args.model, args.directory, args.scale))))
        return 0
    rows = run(args.model, args.directory, args.scale)
    show(f"{args.model} at {args.scale:g} of its size", rows)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
