"""The other side of the comparison: transformers' `generate` on torch, used as one who knows it would.

Prompts sorted by length and padded on the left in batches, keys and values cached, torch's own attention, greedy, no
gradients, all cores; under the same grammar as ours, which is two lookups in a table a step.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reeval.bench.task import Answers, Run, Task, Work
from reeval.bench.worker import peak_resident
from reeval.decode.grammar import Grammar

_REPETITIONS, _SHORT = 3, 24


class Peer:
    """Answers a task's prompts with transformers."""

    def __init__(self, task: Task):
        """
        Raises:
            ValueError: if torch is not installed, with what to do.
        """
        try:
            import torch
        except ModuleNotFoundError:
            raise ValueError(
                "--against=transformers needs torch, which is not installed: pip install torch, or --against=none"
            ) from None
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        self.work, self.task = Work(task), task
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            task.model, dtype=getattr(torch, task.dtype), attn_implementation="sdpa", local_files_only=True
        )
        self.model = self.model.to(self.device).eval()
        self.grammar = self.work.grammar()
        self.tables = Tables(self.grammar, self.device) if task.steered else None
        self._start()

    def about(self) -> dict[str, Any]:
        """What this side runs on."""
        import torch
        import transformers

        name = torch.cuda.get_device_name() if self.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        return {"torch": torch.__version__, "transformers": transformers.__version__, "device": name}

    def run(self, batch_size: int) -> Run | None:
        """All turns of all pairs; None if so large a batch does not fit the device."""
        import torch

        self._start()
        began = time.perf_counter()
        try:
            answers = self._conversations(batch_size)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return None
        self.seconds = time.perf_counter() - began
        return Run(self.seconds, answers)

    def stages(self) -> dict[str, Any]:
        """Of the last run: its seconds, those until each batch's first token, and the prompts that these took."""
        return {
            "seconds": self.seconds,
            "prefill_seconds": self.prefill_seconds,
            "steps": self.steps,
            "prefilled": self.prefilled,
        }

    def warm_up(self) -> None:
        """What only the first call pays for."""
        self._turn(self.work.prompts[:2], self._starts()[:2], 2, new=2)

    def steering_seconds(self, batch_size: int) -> float:
        """What the grammar adds to a step: a batch of equally long answers with it and without.

        After ends of prompts alone, since what stands before does not matter to it and takes time to compute.
        """
        prompts = [prompt[-_SHORT:] for prompt in self.work.prompts[:batch_size]]
        taken: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(_REPETITIONS):
            for steered, seconds in taken.items():
                tables = self.tables if steered else None
                began = time.perf_counter()
                self._generate(prompts, self._starts()[:batch_size], tables, new=_SHORT, least=_SHORT)
                seconds.append(time.perf_counter() - began)
        return (min(taken[True]) - min(taken[False])) / _SHORT

    def peak_memory(self) -> int:
        """Bytes: of the device if it has its own memory, otherwise of the process."""
        import torch

        return torch.cuda.max_memory_allocated() if self.device == "cuda" else peak_resident()

    def _start(self) -> None:
        """Count from here on."""
        self.seconds = self.prefill_seconds = 0.0
        self.steps = 0
        self.prefilled: list[int] = []

    def _starts(self) -> list[int]:
        return [self.grammar.first] * len(self.work.prompts)

    def _conversations(self, batch_size: int) -> Answers:
        work, new = self.work, self.task.max_answer_tokens + 1
        first = self._turn(work.prompts, self._starts(), batch_size, new)
        answers = [[tokens] for tokens, _ in first]
        lines = [work.lines(tokens, finished) for tokens, finished in first]
        asked = [i for i, count in enumerate(lines) if count]
        if asked:
            prompts = [[*work.prompts[i], *answers[i][0], *work.conversation.second] for i in asked]
            starts = [int(self.grammar.second_L[lines[i]]) if self.tables else 0 for i in asked]
            for i, (tokens, _) in zip(asked, self._turn(prompts, starts, batch_size, new), strict=True):
                answers[i].append(tokens)
        return answers

    def _turn(
        self, prompts: Sequence[Sequence[int]], starts: Sequence[int], batch_size: int, new: int
    ) -> list[tuple[list[int], bool]]:
        """The answer to each prompt and whether it ended, in the order of the prompts."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        answers: dict[int, tuple[list[int], bool]] = {}
        for at in range(0, len(order), batch_size):
            chosen = order[at : at + batch_size]
            made = self._generate([prompts[i] for i in chosen], [starts[i] for i in chosen], self.tables, new)
            answers |= zip(chosen, made, strict=True)
        return [answers[i] for i in range(len(prompts))]

    def _generate(
        self,
        prompts: Sequence[Sequence[int]],
        starts: Sequence[int],
        tables: "Tables | None",
        new: int,
        least: int | None = None,
    ) -> list[tuple[list[int], bool]]:
        """One batch: at most `new` tokens each, the end token among them, and at least `least`."""
        import torch
        from transformers import GenerationConfig

        end, longest = self.work.end, max(map(len, prompts))
        ids = torch.full((len(prompts), longest), end, dtype=torch.long)
        seen = torch.zeros_like(ids)
        for row, mask, prompt in zip(ids, seen, prompts, strict=True):
            row[longest - len(prompt) :] = torch.tensor(prompt)
            mask[longest - len(prompt) :] = 1
        settings = GenerationConfig(
            max_new_tokens=new,
            min_new_tokens=least,
            do_sample=False,
            use_cache=True,
            eos_token_id=end,
            pad_token_id=end,
        )
        steering = [Steering(tables, starts, left=self.task.max_answer_tokens + 1)] if tables else []
        watch = Watch(torch.cuda.synchronize if self.device == "cuda" else lambda: None)
        began = time.perf_counter()
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids.to(self.device),
                attention_mask=seen.to(self.device),
                generation_config=settings,
                logits_processor=[watch, *steering],
            )
        rows = out[:, longest:].cpu().tolist()
        self.prefill_seconds += watch.first - began
        self.steps += len(rows[0])
        self.prefilled += map(len, prompts)
        return [
            (row[: row.index(end)], True) if end in row else (row[: self.task.max_answer_tokens], False) for row in rows
        ]


class Tables:
    """A grammar as torch has it fastest: whole rows of the vocabulary, [S, V], so that a step copies rows only.

    needs_SV is how many tokens an answer takes at least after a token, its end counted; more than any budget where the
    token is not allowed.
    """

    def __init__(self, grammar: Grammar, device: str):
        import torch

        next_SC = grammar.next_SC
        most = np.iinfo(np.int16).max
        needs_SC = np.where(next_SC >= 0, np.minimum(grammar.distance_S[next_SC], most - 1), most).astype(np.int16)
        self.class_V = torch.from_numpy(grammar.class_V.astype(np.int64)).to(device)
        self.next_SC = torch.from_numpy(next_SC.astype(np.int64)).to(device)
        self.needs_SV = torch.from_numpy(needs_SC).to(device)[:, self.class_V]


class Watch:
    """A logits processor that only says when the first logits were there."""

    def __init__(self, wait: Callable[[], None]):
        self.wait, self.first = wait, 0.0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if not self.first:
            self.wait()
            self.first = time.perf_counter()
        return scores


class Steering:
    """A logits processor for one call of `generate`: only what the grammar allows and the budget still has room for."""

    def __init__(self, tables: Tables, starts: Sequence[int], left: int):
        self.tables, self.left = tables, left
        self.state_B = tables.class_V.new_tensor(list(starts))
        self.started = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """[B, T] tokens so far and [B, V] logits to [B, V] logits."""
        tables = self.tables
        if self.started:
            next_B = tables.next_SC[self.state_B, tables.class_V[input_ids[:, -1]]]
            # What stands behind an answer's end is padding and leads nowhere.
            self.state_B = next_B.where(next_B >= 0, self.state_B)
            self.left -= 1
        self.started = True
        return scores.masked_fill(tables.needs_SV[self.state_B] >= self.left, float("-inf"))
