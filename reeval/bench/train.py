"""`reeval bench train`: how fast LoRA fine-tuning is here, how near to the device's limit, and beside transformers."""

import contextlib
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from ml_collections import ConfigDict

from reeval import hf, pairs
from reeval.bench import figures, given
from reeval.bench.costs import Costs
from reeval.bench.limits import Limit, Limits
from reeval.bench.train_ours import TrainOurs
from reeval.bench.train_peer import KINDS, TrainPeer
from reeval.bench.train_table import show
from reeval.bench.train_task import TrainTask, counted
from reeval.bench.worker import Worker, worker
from reeval.files import write_atomically
from reeval.models import remat
from reeval.models.attention import BACKENDS

SHIPPED = Path(__file__).parents[1] / "shipped" / "train.jsonl.gz"
_ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false"}
# Steps that the peer takes in each way that it might, before it takes the best of them.
_TRIAL = 1


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        model: a checkpoint directory, `embedded`, or `random` for random weights of `shape`.
        tokenizer: with `random`, a directory with a tokenizer; by default the embedded judge's.
        pairs: a pair file; by default the training pairs of this package.
        count: pairs to train on.
        batch_size, length: rows of a step, and their tokens.
        micro_batches: conversations at a time that the peer tries, in each of its ways; the fastest counts.
    """

    model: str = "random"
    shape: str = "qwen3_80m"
    tokenizer: str = ""
    pairs: str = ""
    count: int = 300
    prompt: str = "clinical-2"
    dtype: str = "auto"
    batching: str = "shared"
    attention: str = "auto"
    remat: str = "none"
    batch_size: int = 1
    length: int = 4096
    rank: int = 16
    steps: int = 4
    against: str = "transformers"
    micro_batches: Sequence[int] = (2, 4, 8)
    repetitions: int = 3
    json: str = ""

    @classmethod
    def of(cls, flags: Mapping[str, Any]) -> "Options":
        """Of the command's flags, by name. Raises ValueError."""
        values = {field.name: flags[field.name] for field in dataclasses.fields(cls)}
        try:
            values["micro_batches"] = [int(size) for size in values["micro_batches"]]
        except ValueError:
            raise ValueError("--micro_batches are whole numbers with commas, such as 2,4,8") from None
        return cls(**values)

    def check(self) -> None:
        """Raises ValueError, naming the flag."""
        for name in ("count", "batch_size", "length", "rank", "steps", "repetitions"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1")
        if not self.micro_batches or any(size < 1 for size in self.micro_batches):
            raise ValueError("--micro_batches must be at least 1")
        for name, known in (("attention", BACKENDS), ("remat", remat.NAMES)):
            if getattr(self, name) not in known:
                raise ValueError(f"--{name}={getattr(self, name)} is not one of {', '.join(known)}")
        given.check(self, ["torch", "peft"])


def run(options: Options) -> dict[str, Any]:
    """Measure, print a table, write JSON where that is wanted; gives what it holds."""
    options.check()
    _say("measuring the device")
    with worker(Limit, environment=_ENVIRONMENT) as limit:
        platform: str = limit("platform")
        dtype = options.dtype if options.dtype != "auto" else "float32" if platform == "cpu" else "bfloat16"
        limits: Limits = limit("measure", dtype)
    with _directory(options, dtype) as (model, train, adapter):
        config = _config(options, model, train, dtype)
        task = TrainTask(config.to_json(), adapter, steps=config.train.steps)
        results = _measured(task, config, options, limits)
    show(results)
    if options.json:
        write_atomically(Path(options.json), json.dumps(results, indent=2) + "\n")
    return results


@contextlib.contextmanager
def _directory(options: Options, dtype: str) -> Iterator[tuple[Path, Path, Path]]:
    """The model, the pairs, and where the first adapter is to stand."""
    with tempfile.TemporaryDirectory(prefix="reeval-bench-") as made, given.model_directory(options, dtype) as model:
        labelled = pairs.read(options.pairs or SHIPPED, labelled=True)
        pairs.write(Path(made) / "train.jsonl", labelled[: options.count])
        yield model, Path(made) / "train.jsonl", Path(made) / "adapter"


def _config(options: Options, model: Path, train: Path, dtype: str) -> ConfigDict:
    """Of the run that is measured; what decides nothing here is left out."""
    return ConfigDict(
        {
            "objective": "sft",
            "tuning": "lora",
            "model": {"path": str(model), "dtype": dtype, "quantized": "none"},
            "prompt": options.prompt,
            "lora": {
                "rank": options.rank,
                "alpha": 2.0 * options.rank,
                "rslora": False,
                "dropout": 0.0,
                "targets": r"self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj",
            },
            "data": {
                "train": str(train),
                "batching": options.batching,
                "sequence_length": options.length,
                "two_pass_share": 0.0,
                "severity_weight": 1.0,
            },
            "train": {
                "steps": 2 + options.steps * options.repetitions,
                "batch_size": options.batch_size,
                "accumulation": 1,
                "learning_rate": 1e-4,
                "final_learning_rate": 0.0,
                "warmup_steps": 1,
                "weight_decay": 0.01,
                "clip_norm": 1.0,
                "b1": 0.9,
                "b2": 0.999,
                "remat": options.remat,
                "attention": options.attention,
                "loss_chunk": 256,
                "seed": 0,
            },
        }
    )


def _measured(task: TrainTask, config: ConfigDict, options: Options, limits: Limits) -> dict[str, Any]:
    shape: Any = hf.load_config(config.model.path)
    costs = Costs(getattr(shape, "text", shape), np.dtype(getattr(ml_dtypes, config.model.dtype)).itemsize
                  if config.model.dtype == "bfloat16" else np.dtype(config.model.dtype).itemsize)  # fmt: skip
    count = options.steps * options.repetitions
    with contextlib.ExitStack() as stack:
        _say("compiling, and a first step")
        ours = stack.enter_context(worker(TrainOurs, task, environment=_ENVIRONMENT))
        ours("write_adapter", task.adapter)
        first = ours("run", 1)
        peer, tried, best = None, {}, ("", 0)
        if options.against == "transformers":
            peer = stack.enter_context(worker(TrainPeer, task, environment=_ENVIRONMENT))
            tried = _tried(peer, options.micro_batches)
            best = min(tried, key=lambda way: tried[way])
            peer("start")
        ours("start")
        runs: dict[str, list[Any]] = {"reeval": [], "transformers": []}
        for n in range(options.repetitions):
            _say(f"repetition {n + 1} of {options.repetitions}")
            runs["reeval"].append(ours("run", options.steps))
            if peer is not None:
                runs["transformers"].append(peer("run", options.steps, *best))
        holds = counted(config, count)
        results: dict[str, Any] = {
            "what": {
                "model": options.model if options.model != "random" else f"random {options.shape}",
                "parameters": costs.parameters,
                "config": json.loads(task.config),
                "steps": count,
                **holds,
            },
            "limits": limits._asdict(),
            "reeval": _side(ours, runs["reeval"], holds, costs, limits) | {"first_step_seconds": first.seconds},
        }
        if peer is not None:
            results["transformers"] = _side(peer, runs["transformers"], holds, costs, limits) | {
                "way": list(best),
                "tried": {f"{kind} {size}": seconds for (kind, size), seconds in tried.items()},
            }
            pairs_of_runs = list(zip(runs["reeval"], runs["transformers"], strict=True))
            losses = [(a, b) for our, their in pairs_of_runs for a, b in zip(our.losses, their.losses, strict=True)]
            results["ratio"] = figures.spread([their.seconds / our.seconds for our, their in pairs_of_runs])
            results["losses"] = {
                "ours": [a for a, _ in losses],
                "theirs": [b for _, b in losses],
                "most_apart": max(abs(a - b) for a, b in losses),
            }
    return results


def _tried(peer: Worker, sizes: Sequence[int]) -> dict[tuple[str, int], float]:
    """Seconds of each of the peer's ways that fits the device."""
    _say("transformers' ways: " + ", ".join(KINDS))
    peer("run", 1, KINDS[0], 1)  # what only the first call pays for
    tried = {}
    for kind, size in product(KINDS, sizes):
        peer("start")
        made = peer("run", _TRIAL, kind, size)
        if made is not None:
            tried[kind, size] = made.seconds
    if not tried:
        raise ValueError("no micro-batch of transformers fits the device; give smaller --micro_batches")
    return tried


def _side(
    side: Worker, runs: Sequence[Any], holds: Mapping[str, float], costs: Costs, limits: Limits
) -> dict[str, Any]:
    """The same work of both sides: that of whole conversations, whatever a side shares, pads or leaves out."""
    seconds = sum(run.seconds for run in runs)
    # 4 a parameter: forward, and back to the input; weights are frozen. The head where there is a loss.
    needed = 4.0 * (costs.layers * holds["tokens"] + costs.head * holds["verdict_tokens"])
    return side("about") | {
        "seconds": seconds,
        "pairs_per_second": holds["pairs"] / seconds,
        "tokens_per_second": holds["tokens"] / seconds,
        "share_of_matmul": needed / seconds / limits.matmul,
        "peak_bytes": side("peak_memory"),
    }


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)
