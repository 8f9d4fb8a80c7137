"""`reeval bench score`: how fast scoring is here, how near to the device's limits, and how it compares."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import ml_dtypes
import numpy as np

from reeval import hf
from reeval.bench import figures, given
from reeval.bench.costs import Costs
from reeval.bench.limits import Limit, Limits
from reeval.bench.ours import Ours
from reeval.bench.peer import Peer
from reeval.bench.table import show
from reeval.bench.task import Run, Task
from reeval.bench.worker import Worker, worker
from reeval.files import write_atomically

SHIPPED = Path(__file__).parents[1] / "shipped" / "heldout.jsonl.gz"
AGAINST = ("transformers", "none")
DTYPES = ("auto", "float32", "bfloat16")
# Where a GPU has memory for more conversations at a time than a CPU has use for.
_SLOTS = {"cpu": 64}
_SLOTS_OF_OTHERS = 128
_BATCH_SIZES = {"cpu": (8, 16, 32)}
_BATCH_SIZES_OF_OTHERS = (32, 64, 128, 256)
# The two sides share a device: neither may take all of its memory at the start.
_ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TRANSFORMERS_VERBOSITY": "error"}


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure; 0 or an empty list lets the device decide.

    Attributes:
        model: a checkpoint directory, `embedded`, or `random` for random weights of `shape`.
        tokenizer: with `random`, a directory with a tokenizer; by default the embedded judge's.
        pairs: a pair file; by default the held-out pairs of this package.
        batch_sizes: that the peer tries; its best one counts.
    """

    model: str = "random"
    shape: str = "qwen3_80m"
    tokenizer: str = ""
    pairs: str = ""
    count: int = 64
    slots: int = 0
    mode: str = "one_pass"
    prompt: str = "clinical-2"
    dtype: str = "auto"
    max_answer_tokens: int = 64
    grammar: bool = True
    against: str = "transformers"
    batch_sizes: Sequence[int] = ()
    repetitions: int = 3
    json: str = ""

    @classmethod
    def of(cls, flags: Mapping[str, Any]) -> "Options":
        """Of the command's flags, by name. Raises ValueError as `check` does."""
        values = {field.name: flags[field.name] for field in dataclasses.fields(cls)}
        try:
            values["batch_sizes"] = [int(size) for size in values["batch_sizes"]]
        except ValueError:
            raise ValueError("--batch_sizes are whole numbers with commas, such as 8,16,32") from None
        return cls(**values)

    def check(self) -> None:
        """Raises ValueError, naming the flag."""
        for name in ("count", "max_answer_tokens", "repetitions"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1")
        if self.slots < 0 or any(size < 1 for size in self.batch_sizes):
            raise ValueError("--slots and --batch_sizes must be at least 1")
        given.check(self, ["torch"])


def run(options: Options) -> dict[str, Any]:
    """Measure, print tables, write JSON where that is wanted; gives what it holds."""
    options.check()
    _say("measuring the device")
    with worker(Limit, environment=_ENVIRONMENT) as limit:
        platform: str = limit("platform")
        dtype = options.dtype if options.dtype != "auto" else "float32" if platform == "cpu" else "bfloat16"
        limits: Limits = limit("measure", dtype)
    with given.model_directory(options, dtype) as model:
        task = Task(
            model=model,
            pairs=Path(options.pairs or SHIPPED),
            count=options.count,
            prompt=options.prompt,
            mode=options.mode,
            dtype=dtype,
            slots=options.slots or _SLOTS.get(platform, _SLOTS_OF_OTHERS),
            max_answer_tokens=options.max_answer_tokens,
            steered=options.grammar,
        )
        sizes = options.batch_sizes or _BATCH_SIZES.get(platform, _BATCH_SIZES_OF_OTHERS)
        results = _measured(task, options, limits, sizes)
    show(results)
    if options.json:
        write_atomically(Path(options.json), json.dumps(results, indent=2) + "\n")
    return results


def _measured(task: Task, options: Options, limits: Limits, sizes: Sequence[int]) -> dict[str, Any]:
    config: Any = hf.load_config(task.model)
    decoder = getattr(config, "text", config)
    costs = Costs(decoder, np.dtype(getattr(ml_dtypes, task.dtype, task.dtype)).itemsize)
    with contextlib.ExitStack() as stack:
        _say("compiling, and a first run")
        ours = stack.enter_context(worker(Ours, task, environment=_ENVIRONMENT))
        first = ours("run")
        peer, best, tried = None, 0, {}
        if options.against == "transformers":
            _say(f"transformers' first run, at batch sizes {', '.join(map(str, sizes))}")
            peer = stack.enter_context(worker(Peer, task, environment=_ENVIRONMENT))
            peer("warm_up")
            runs = {size: peer("run", size) for size in sizes}
            tried = {size: run.seconds for size, run in runs.items() if run is not None}
            if not tried:
                raise ValueError("no batch of transformers fits the device; give smaller --batch_sizes")
            best = min(tried, key=lambda size: tried[size])
        our_runs, their_runs = [], []
        for n in range(options.repetitions):
            _say(f"repetition {n + 1} of {options.repetitions}")
            our_runs.append(_for(ours, tried[best] if tried else 0.0))
            if peer is not None:
                their_runs.append(peer("run", best))
        _say("stages")
        about = ours("about")
        prompts, prefix = about.pop("prompt_tokens"), about["prefix_tokens"]
        answers, seconds = our_runs[-1].answers, [run.seconds for run in our_runs]
        results: dict[str, Any] = {
            "what": {
                "model": options.model if options.model != "random" else f"random {options.shape}",
                "parameters": costs.parameters,
                **{name: value for name, value in dataclasses.asdict(task).items() if name not in ("model", "pairs")},
                "pairs": len(prompts),
                "prompt_tokens": sum(prompts),
            },
            "limits": limits._asdict(),
            "reeval": about
            | figures.rates(seconds, prompts, answers)
            | {
                "first_run_seconds": first.seconds,
                "compile_seconds": first.seconds - min(seconds),
                "compilations": ours("compilations"),
                "peak_bytes": ours("peak_memory"),
                "stages": figures.our_stages(ours("stages"), costs, limits, prefix, prompts, answers),
            },
        }
        if peer is not None:
            results |= _compared(peer, best, their_runs, our_runs, costs, limits, prompts)
            results["transformers"]["tried"] = tried
    return results


def _for(side: Worker, seconds: float) -> Run:
    """Runs for about as long, at least one, and their mean: what a machine does to a process that begins again after
    an idle minute is to weigh on both sides alike, and the other takes longer."""
    runs = [side("run")]
    while sum(run.seconds for run in runs) + runs[-1].seconds / 2 < seconds:
        runs.append(side("run"))
    return Run(mean(run.seconds for run in runs), runs[-1].answers)


def _compared(
    peer: Worker,
    best: int,
    theirs: list[Any],
    ours: list[Any],
    costs: Costs,
    limits: Limits,
    prompts: Sequence[int],
) -> dict[str, Any]:
    answers, last = theirs[-1].answers, peer("stages")
    return {
        "transformers": peer("about")
        | figures.rates([run.seconds for run in theirs], prompts, answers)
        | {
            "batch_size": best,
            "peak_bytes": peer("peak_memory"),
            "stages": figures.peer_stages(last, costs, limits, prompts, answers),
            "steering_share": peer("steering_seconds", best) * last["steps"] / last["seconds"],
        },
        "same": figures.same(ours[-1].answers, answers),
        "ratio": figures.spread([their.seconds / our.seconds for our, their in zip(ours, theirs, strict=True)]),
    }


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)
