"""The other side of the comparison of training: transformers and PEFT on torch, used as those who know them would.

The conversations of a step in micro-batches whose gradients are summed: padded to the longest as they come, padded
after sorting by length, or laid end to end in one row, with positions that begin anew. torch's own attention, no cache,
no recomputation, the loss over the verdict tokens of the whole step, all cores.
"""

import os
import time
from collections.abc import Sequence
from typing import Any

from reeval.bench.train_task import TrainRun, TrainTask, steps_of
from reeval.bench.worker import peak_resident
from reeval.data.conversation import Example
from reeval.train.step import optimizer_of

KINDS = ("padded", "sorted", "packed")
_IGNORED = -100


class TrainPeer:
    """Takes the steps of a task's config."""

    def __init__(self, task: TrainTask):
        """
        Raises:
            ValueError: if torch or peft is not installed, with what to do.
        """
        try:
            import peft
            import torch
        except ModuleNotFoundError as error:
            raise ValueError(
                f"--against=transformers needs {error.name}, which is not installed: pip install torch peft, or "
                "--against=none"
            ) from None
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        self.config = task.read()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        base = AutoModelForCausalLM.from_pretrained(
            self.config.model.path,
            dtype=getattr(torch, self.config.model.dtype),
            attn_implementation="sdpa",
            local_files_only=True,
        )
        self.model: Any = peft.PeftModel.from_pretrained(base, task.adapter, is_trainable=True).to(self.device).train()
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        self.first = [each.detach().clone() for each in self.trained]
        schedule = optimizer_of(self.config)[1]
        self.rates = [float(schedule(step)) for step in range(task.steps)]
        self.start()

    def about(self) -> dict[str, Any]:
        """What this side runs on."""
        import peft
        import torch
        import transformers

        name = torch.cuda.get_device_name() if self.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
        return {**versions, "device": name, "padding": 1 - self.real / max(1, self.computed)}

    def start(self) -> None:
        """Begin anew: the first weights, the first batch."""
        import torch

        c = self.config.train
        with torch.no_grad():
            for each, first in zip(self.trained, self.first, strict=True):
                each.copy_(first)
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=c.learning_rate, betas=(c.b1, c.b2), weight_decay=c.weight_decay
        )
        self.data = steps_of(self.config)
        self.step = self.real = self.computed = 0

    def run(self, steps: int, kind: str, size: int) -> TrainRun | None:
        """The next steps in micro-batches of `size` conversations; None if they do not fit the device."""
        import torch

        shown = [next(self.data) for _ in range(steps)]
        began = time.perf_counter()
        try:
            losses = [self._step(examples, kind, size) for examples in shown]
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return None
        return TrainRun(time.perf_counter() - began, losses)

    def peak_memory(self) -> int:
        """Bytes: of the device if it has its own memory, otherwise of the process."""
        import torch

        return torch.cuda.max_memory_allocated() if self.device == "cuda" else peak_resident()

    def _step(self, examples: Sequence[Example], kind: str, size: int) -> float:
        import torch

        if kind == "sorted":
            examples = sorted(examples, key=lambda example: len(example.tokens))
        weighed = sum(int((example.weights != 0).sum()) for example in examples)
        total = 0.0
        for at in range(0, len(examples), size):
            chosen = examples[at : at + size]
            batch = _row(chosen) if kind == "packed" else _padded(chosen)
            self.real += sum(len(example.tokens) for example in chosen)
            self.computed += batch["input_ids"].numel()
            on_device = {name: value.to(self.device) for name, value in batch.items()}
            loss = self.model(**on_device, use_cache=False, num_items_in_batch=weighed).loss
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.trained, self.config.train.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[self.step]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total


def _padded(examples: Sequence[Example]) -> dict[str, Any]:
    """[size, longest], padded on the right."""
    import torch

    longest = max(len(example.tokens) for example in examples)
    tokens = torch.zeros((len(examples), longest), dtype=torch.long)
    seen, labels = torch.zeros_like(tokens), torch.full_like(tokens, _IGNORED)
    for row, example in enumerate(examples):
        n = len(example.tokens)
        tokens[row, :n], seen[row, :n], labels[row, :n] = torch.from_numpy(example.tokens), 1, _labels(example)
    return {"input_ids": tokens, "attention_mask": seen, "labels": labels}


def _row(examples: Sequence[Example]) -> dict[str, Any]:
    """[1, all], end to end; transformers knows by the positions where one begins."""
    import torch

    return {
        "input_ids": torch.cat([torch.from_numpy(example.tokens) for example in examples])[None].long(),
        "position_ids": torch.cat([torch.arange(len(example.tokens)) for example in examples])[None],
        "labels": torch.cat([_labels(example) for example in examples])[None],
    }


def _labels(example: Example) -> Any:
    """A token's own label is what the token before it is to predict; the first has none."""
    import torch

    return torch.from_numpy(example.tokens).long().masked_fill(torch.from_numpy(example.weights == 0), _IGNORED)
