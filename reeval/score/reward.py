"""The metric as a reward function for TRL's trainers (GRPO, RLOO and others that take `reward_funcs`).

TRL calls such a function with `completions` and each column of its data by name, a value a completion, and takes a list
of numbers, where None leaves a completion out. TRL itself need not be installed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reeval.score.metric import load_metric


class Reward:
    """1 minus the probability that a completion, as a report, has a clinically significant error: 1 is best, 0 worst.

    None for a completion that is empty, too long for the judge, or that could not be parsed, and where there is no
    reference.
    """

    def __init__(self, model: str, *, reference: str = "reference", name: str = "reeval", **settings: Any):
        """
        Args:
            reference: the column of the data that holds the reference report.
            name: under which TRL logs it.
            settings: as of `reeval.load_metric`.
        """
        self._metric = load_metric(model, **settings)
        self._column = reference
        self.__name__ = name

    @property
    def signature(self) -> str:
        """All that decides the rewards."""
        return self._metric.signature

    def __call__(self, *, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """A reward a completion; all are judged together.

        Args:
            completions: texts, or lists of messages, of which the assistant's last one is taken.
            columns: what else TRL passes: the data's columns, of which one holds the references, and its own.
        Raises:
            ValueError: if that column is missing or has another length.
        """
        references = columns.get(self._column)
        if references is None:
            raise ValueError(f"the data has no column {self._column!r}; name that of the references: reference=COLUMN")
        if len(references) != len(completions):
            raise ValueError(f"there are {len(references)} references and {len(completions)} completions")
        texts = [_text(completion) for completion in completions]
        judged = [
            number
            for number, (reference, text) in enumerate(zip(references, texts, strict=True))
            if isinstance(reference, str) and reference.strip() and text.strip()
        ]
        scores = self._metric(
            references=[references[number] for number in judged],
            candidates=[texts[number] for number in judged],
            refuse=False,
        )
        rewards: list[float | None] = [None] * len(texts)
        for number, sample in zip(judged, scores.samples, strict=True):
            rewards[number] = sample.score
        if rewards and callable(log := columns.get("log_metric")):
            log(f"{self.__name__}/without_reward", rewards.count(None) / len(rewards))
        return rewards


def _text(completion: Any) -> str:
    """Of a completion: itself, or what the last message of the assistant says."""
    if isinstance(completion, str):
        return completion
    said = [message for message in completion if message.get("role", "assistant") == "assistant"]
    content = said[-1].get("content") if said else None
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
