"""What goes into the engine and what comes out of it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from reeval.data.images import StudyImage


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A conversation to be had.

    Attributes:
        key: what the caller knows it by.
        tokens: the whole prompt, prefix included.
        seed: of its own sampling; the same whatever slot and order.
    """

    key: Any
    tokens: Sequence[int]
    image: StudyImage | None = None
    seed: int = 0


class Turn(NamedTuple):
    """An answer without its end token, whether it ended in time, and the log odds of significant against
    insignificant of each severity that it decides, in order."""

    tokens: list[int]
    finished: bool
    log_odds: list[float]


Lines = Callable[[Request, Turn], int]
Done = tuple[Request, list[Turn]]


@dataclasses.dataclass
class Counts:
    """What was done since the engine was made.

    Attributes:
        prefix, prompts, second: tokens of the prefix, of all prompts beyond it, and those that ask for second turns.
            The last one of a prompt and of a second turn is fed by a decode step.
        shared: of `prompts`, those that did not go through the model, as another prompt begins with them, too.
        padding: entries of prefilled rows that held no token.
        steps, used: decode steps, and tokens made in them, end tokens too; there are slots * steps chances.
        waits: how often the host waited for the device.
    """

    prefix: int = 0
    prompts: int = 0
    shared: int = 0
    second: int = 0
    padding: int = 0
    steps: int = 0
    used: int = 0
    waits: int = 0
