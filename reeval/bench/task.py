"""What a benchmark of scoring runs: the same prompts, grammar and budget for all who take part."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reeval import hf, pairs, verdicts
from reeval.data.conversation import Conversation
from reeval.decode import grammar
from reeval.verdicts import VerdictFormatError

# Of each pair, of each turn, the tokens of the answer without its end.
Answers = list[list[list[int]]]


@dataclasses.dataclass(frozen=True)
class Task:
    """What to run; plain values, so that it can be sent to another process.

    Attributes:
        model: a checkpoint directory.
        pairs: a pair file, of which the first `count` pairs are judged.
        slots: conversations that we decode at a time.
        steered: whether answers follow the grammar; otherwise they are free.
    """

    model: Path
    pairs: Path
    count: int
    prompt: str
    mode: str
    dtype: str
    slots: int
    max_answer_tokens: int
    steered: bool


class Run(NamedTuple):
    """seconds: of all turns of all pairs; answers: of each pair, in the order of the pairs."""

    seconds: float
    answers: Answers


class Work:
    """A task's prompts and what else the model's tokenizer decides."""

    def __init__(self, task: Task):
        """Raises ValueError if the pairs or the tokenizer cannot be read."""
        self.task = task
        self.vocab_size: int = hf.load_config(task.model).vocab_size
        tokenizer = hf.load_tokenizer(task.model)
        self.conversation = Conversation(tokenizer, task.prompt)
        self.end = self.conversation.end
        chosen = pairs.read(task.pairs)[: task.count]
        self.prompts = [self.conversation.prompt(task.mode, pair) for pair in chosen]

    def grammar(self) -> grammar.Grammar:
        """The tables that both sides follow."""
        task = self.task
        if not task.steered:
            return grammar.free(self.vocab_size, self.end)
        return grammar.compile_grammar(
            self.conversation.tokenizer,
            self.vocab_size,
            self.end,
            task.mode,
            max_answer_tokens=task.max_answer_tokens,
        )

    def lines(self, tokens: Sequence[int], finished: bool) -> int:
        """Of how many errors a first answer asks the severity in a second turn; 0 if there is none."""
        if self.task.mode == "one_pass" or not finished:
            return 0
        try:
            return len(verdicts.parse_spans(self.conversation.text(tokens)))
        except VerdictFormatError:
            return 0
