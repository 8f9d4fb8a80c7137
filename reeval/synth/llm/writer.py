"""Rule-made pairs in, pairs in a chat model's words out: attempts, threads, order."""

import dataclasses
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent import futures
from itertools import islice

from reeval.pairs import Pair
from reeval.synth.llm import checks, specification
from reeval.synth.llm.checks import Facts, Unmet
from reeval.synth.llm.client import LlmOptions, NoAnswer, Refused, Server, gone

__all__ = ["Dropped", "Facts", "LlmOptions", "rewrite"]


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """A pair that no attempt brought through the checks; `reason` is a name to count by, of the last attempt."""

    pair_id: str
    reason: str


_Future = futures.Future[Pair | Dropped]


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
    server = Server(options, specification.SCHEMA)
    return _stream(iter(pairs), server, facts)


def _stream(pairs: Iterator[Pair], server: Server, facts: Facts) -> Iterator[Pair | Dropped]:
    options = server.options
    slots = threading.Semaphore(options.concurrency)
    waiting: deque[tuple[str, _Future]] = deque()
    # Pairs without an answer wait for a later one's, which shows that the server lives and the fault is theirs.
    silent: list[Dropped] = []
    answered = False
    last = NoAnswer()
    try:
        while True:
            for pair in islice(pairs, 2 * options.concurrency - len(waiting)):
                waiting.append((pair.pair_id, _begin(pair, server, facts, slots)))
            if not waiting:
                break
            pair_id, future = waiting.popleft()
            try:
                written = future.result()
            except NoAnswer as error:
                last = error
                silent.append(Dropped(pair_id, "no answer"))
                if len(silent) >= options.patience:
                    raise gone(options, len(silent), last) from None
                continue
            answered = True
            yield from silent
            silent.clear()
            yield written
        if silent and not answered:
            raise gone(options, len(silent), last)
        yield from silent
    finally:
        server.stop()
        rest = [future for _, future in waiting]
        threading.Thread(target=_close, args=(server, rest), daemon=True, name="writer-end").start()


def _begin(pair: Pair, server: Server, facts: Facts, slots: threading.Semaphore) -> _Future:
    """Start on a pair in a thread of its own. A daemon: at the end of a run nobody waits for a server that hangs."""
    future: _Future = futures.Future()

    def work() -> None:
        with slots:
            try:
                future.set_result(_write(pair, server, facts))
            except BaseException as error:
                future.set_exception(error)

    threading.Thread(target=work, daemon=True, name=f"writer-{pair.pair_id}").start()
    return future


def _close(server: Server, rest: list[_Future]) -> None:
    futures.wait(rest)
    server.close()


def _write(pair: Pair, server: Server, facts: Facts) -> Pair | Dropped:
    question = specification.messages(pair)
    asked = question
    reason = ""
    for attempt in range(1, server.options.attempts + 1):
        seed = zlib.crc32(f"{server.options.seed}/{attempt}/{pair.pair_id}".encode()) >> 1
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
        writer = {"model": server.options.model, "attempts": attempt}
        return dataclasses.replace(written, metadata={**written.metadata, "writer": writer})
    return Dropped(pair.pair_id, reason)
