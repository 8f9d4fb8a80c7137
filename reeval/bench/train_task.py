"""What a benchmark of training runs: the same conversations in each step, from the same weights, for both sides."""

import dataclasses
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from reeval import hf, pairs
from reeval.data import batches
from reeval.data.conversation import Conversation, Example
from reeval.prompts import MODES


@dataclasses.dataclass(frozen=True)
class TrainTask:
    """What to run; plain values, so that it can be sent to another process.

    Attributes:
        config: of a run, as JSON; its model a checkpoint directory, its training pairs a pair file.
        adapter: a PEFT directory with the adapter that both begin with.
        steps: of a run.
    """

    config: str
    adapter: Path
    steps: int

    def read(self) -> ConfigDict:
        """The config."""
        return ConfigDict(json.loads(self.config))


class TrainRun(NamedTuple):
    """seconds: of the steps of a run; losses: of each of them."""

    seconds: float
    losses: list[float]


def steps_of(config: ConfigDict) -> Iterator[list[Example]]:
    """The conversations of each step, whole, as the config's own batches hold them; without end."""
    examples, prefixes = conversations(config)
    for batch in stream(config, examples, prefixes):
        yield [
            _whole(examples[number - 1], {name: batch[name][row][at] for name in ("tokens", "targets")})
            for row in range(len(batch["segments"]))
            for segment in range(1, batch["segments"][row].max() + 1)
            for at in [batch["segments"][row] == segment]
            for number in [batch["examples"][row][at][0]]
            if number
        ]


def conversations(config: ConfigDict) -> tuple[list[dict[str, Example]], dict[str, list[int]]]:
    """The training examples of a config, and what those of a mode begin with. Raises ValueError."""
    directory = Path(config.model.path)
    conversation = Conversation(hf.load_tokenizer(directory), config.prompt)
    labelled = pairs.read(config.data.train, labelled=True)
    d = config.data
    examples = batches.training_examples(
        conversation, labelled, length=d.sequence_length, severity_weight=d.severity_weight
    )
    return examples, {mode: conversation.prefix(mode) for mode in MODES}


def stream(config: ConfigDict, examples: list[Any], prefixes: dict[str, list[int]]) -> Any:
    """The batches of a config on one device."""
    c = config.train
    return batches.stream(
        examples,
        batching=config.data.batching,
        length=config.data.sequence_length,
        rows=c.batch_size,
        accumulation=c.accumulation,
        multiple=1,
        two_pass_share=config.data.two_pass_share,
        seed=c.seed,
        own=lambda rows: range(c.accumulation * rows),
        prefixes=prefixes,
    )


def counted(config: ConfigDict, steps: int) -> dict[str, float]:
    """What so many steps hold, whoever computes them: pairs, their tokens, and those that have a loss."""
    shown = list(islice(steps_of(config), steps))
    return {
        "pairs": sum(map(len, shown)),
        "tokens": sum(len(each.tokens) - 1 for step in shown for each in step),
        "verdict_tokens": sum(int((each.weights != 0).sum()) for step in shown for each in step),
    }


def _whole(modes: dict[str, Example], part: dict[str, np.ndarray]) -> Example:
    """Of an example's modes the one whose end this is."""
    n = len(part["tokens"])
    for example in modes.values():
        if len(example.tokens) > n and np.array_equal(example.tokens[-1 - n :], [*part["tokens"], part["targets"][-1]]):
            return example
    raise AssertionError("a batch holds what is no example")
