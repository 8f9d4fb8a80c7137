"""What every evaluator is: whatever gives a `Judgement` for each pair, in the modes that it has.

What it cannot read or get is a judgement too, whose `parse_status` says why; only what no pair can pass is an
exception. `reeval.evaluators.kinds` has the table of their kinds.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from reeval.judgements import Judgement
from reeval.pairs import Pair

# What the parse status of a judgement begins with that nobody gave: the fault may pass, so it is not kept.
NO_ANSWER = "no answer"


class Evaluator(Protocol):
    """
    Attributes:
        kind: a name of `reeval.evaluators.kinds`.
        modes: "one_pass" and "two_pass", one of them, or "scalar".
        keeps: whether what it says is kept and not asked for again; else it is cheap, and made anew by each run.
    """

    kind: str
    modes: tuple[str, ...]
    keeps: bool

    def identity(self, mode: str) -> Mapping[str, str]:
        """All that decides what it says, by name."""

    def content(self, pair: Pair) -> str:
        """A digest of all of a pair that it is given: another one means that the pair has to be judged anew."""

    def judge(self, pairs: Sequence[Pair], mode: str) -> Iterator[Judgement]:
        """One judgement for each pair, in any order, as soon as it is done.

        Raises:
            ValueError, OSError: one line, if it cannot go on. What was given before stays.
        """


def text_sha256(*texts: str) -> str:
    """Of texts, of which no two lists have the same."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)} {text}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def encodable(text: str) -> str:
    """The text with a mark in place of each half of a surrogate pair, which JSON can say and no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
