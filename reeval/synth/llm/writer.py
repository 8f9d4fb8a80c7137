"""Rule-made pairs in, pairs in a chat model's words out: attempts, checks."""

import dataclasses
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing

from reeval.chat.client import NoAnswer, Refused, Server
from reeval.chat.stream import stream
from reeval.pairs import Pair
from reeval.synth.llm import checks, specification
from reeval.synth.llm.checks import Facts, Unmet
from reeval.synth.llm.options import LlmOptions

__all__ = ["Dropped", "Facts", "LlmOptions", "rewrite"]


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """A pair that no attempt brought through the checks; `reason` is a name to count by, of the last attempt."""

    pair_id: str
    reason: str


def rewrite(pairs: Iterable[Pair], options: LlmOptions, *, facts: Facts) -> Iterator[Pair | Dropped]:
    """Let a chat server write each candidate again, with the same errors.

    What comes out is in the order of `pairs`, one for one, and as soon as it is finished: whoever keeps it as it comes
    can leave those pairs out the next time. A pair keeps its id, its errors (their candidate spans are new) and its
    metadata without "pieces", and gets `metadata["writer"]`.

    Args:
        pairs: rule-made ones; taken only as far ahead as the server is kept busy.
        facts: what a report states; called from several threads.
    Raises:
        ValueError: at the call, if openai is missing or the address or key won't do; later, if a pair names no rule.
        ServerGone: a ConnectionError, if the server cannot go on. What was given before is right and stays; pairs
            that were under way are asked for again the next time.
    """
    server = Server(options, specification.FORMS)
    return _stream(pairs, server, options, facts)


def _stream(pairs: Iterable[Pair], server: Server, options: LlmOptions, facts: Facts) -> Iterator[Pair | Dropped]:
    with closing(stream(pairs, lambda pair: _write(pair, server, options, facts), server, ordered=True)) as results:
        for pair, written in results:
            yield Dropped(pair.pair_id, "no answer") if isinstance(written, NoAnswer) else written


def _write(pair: Pair, server: Server, options: LlmOptions, facts: Facts) -> Pair | Dropped:
    question = specification.messages(pair)
    asked = question
    reason = ""
    for attempt in range(1, options.attempts + 1):
        seed = zlib.crc32(f"{options.seed}/{attempt}/{pair.pair_id}".encode()) >> 1
        try:
            answer = server.ask(asked, seed)
        except Refused:
            return Dropped(pair.pair_id, "refused")
        try:
            if not answer.whole:
                raise Unmet("cut", "Your answer was too long and was cut.")
            written = checks.candidate(pair, answer.text, facts)
        except Unmet as unmet:
            reason = unmet.reason
            asked = specification.again(question, answer.text, unmet.remedy)
            continue
        writer = {"model": options.model, "attempts": attempt}
        return dataclasses.replace(written, metadata={**written.metadata, "writer": writer})
    return Dropped(pair.pair_id, reason)
