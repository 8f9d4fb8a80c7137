"""Which chat server writes candidates, and how often it may try."""

import dataclasses

from reeval.chat.client import Options


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LlmOptions(Options):
    """As `Options` has them; the seed is sent along, different for each pair and attempt.

    attempts: answers a pair gets until one passes the checks.
    """

    temperature: float = 0.8
    attempts: int = 3

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.attempts < 1:
            raise ValueError("attempts: must be at least 1")
