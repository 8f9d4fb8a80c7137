"""Our side of the comparison: the engine as `reeval score` runs it."""

import time
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from reeval import hf, sharding
from reeval.bench.task import Run, Task, Work
from reeval.bench.worker import peak_resident
from reeval.decode.engine import Engine, Request

STAGES = ("unstacked", "prefix", "prefill", "go_on", "decode")


class Ours:
    """Answers a task's prompts with our engine, on one device."""

    def __init__(self, task: Task):
        """Raises ValueError as `hf.load_model` does."""
        self.work, self.task = Work(task), task
        mesh = sharding.single_device_mesh()
        model: Any = hf.load_model(task.model, dtype=task.dtype, mesh=mesh, images=False)
        graph, self.weights = nnx.split(model)
        self.prefix = self.work.conversation.prefix(task.mode)
        self.engine = Engine(
            graph,
            mesh,
            self.work.grammar(),
            prefix=self.prefix,
            second=self.work.conversation.second if task.mode == "two_pass" else [],
            end=self.work.end,
            slots=task.slots,
            max_prompt_tokens=max(map(len, self.work.prompts)),
            max_answer_tokens=task.max_answer_tokens,
        )

    def about(self) -> dict[str, Any]:
        """What this side runs on, and what it will take."""
        memory = self.engine.memory(self.weights)
        return {
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "prompt_tokens": list(map(len, self.work.prompts)),
            "prefix_tokens": len(self.prefix),
            "planned_bytes": memory.total,
        }

    def run(self) -> Run:
        """All turns of all pairs."""
        requests = [Request(i, prompt) for i, prompt in enumerate(self.work.prompts)]
        began = time.perf_counter()
        made = self.engine.run(self.weights, requests, lambda _, turn: self.work.lines(turn.tokens, turn.finished))
        answers = {request.key: [turn.tokens for turn in turns] for request, turns in made}
        seconds = time.perf_counter() - began
        return Run(seconds, [answers[i] for i in range(len(requests))])

    def stages(self) -> dict[str, float]:
        """A run that waits for the device after each program: seconds of each, of the whole, and what was counted.

        A little slower than a run that does not wait; what is left of the whole is the host's.
        """
        before = dict(vars(self.engine.counts))
        seconds = dict.fromkeys(STAGES, 0.0)
        device: Any = self.engine.device
        timed: Any = _Timed(device, seconds)
        self.engine.device = timed
        try:
            whole = self.run().seconds
        finally:
            self.engine.device = device
        counted = {name: count - before[name] for name, count in vars(self.engine.counts).items()}
        return {f"{name}_seconds": value for name, value in seconds.items()} | {"seconds": whole} | counted

    def compilations(self) -> int:
        """Programs compiled so far."""
        return self.engine.compilations()

    def peak_memory(self) -> int:
        """Bytes: of the device if it says, otherwise of the process."""
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use") or peak_resident()


class _Timed:
    """A device whose stages are waited for and timed."""

    def __init__(self, device: Any, seconds: dict[str, float]):
        self._device, self._seconds = device, seconds

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._device, name)
        return self._waiting(name, method) if name in self._seconds else method

    def _waiting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            made = jax.block_until_ready(method(*arguments))
            self._seconds[name] += time.perf_counter() - began
            return made

        return timed
