"""Many questions to a chat server from a bounded number of threads, and when to give the server up."""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent import futures
from itertools import islice
from typing import TypeVar

from reeval.chat.client import NoAnswer, Server, gone

Item = TypeVar("Item")
Result = TypeVar("Result")
_Waiting = list[tuple[Item, "futures.Future[Result]"]]


def stream(
    items: Iterable[Item],
    ask: Callable[[Item], Result],
    server: Server,
    *,
    ordered: bool,
    lives: Callable[[], bool] | None = None,
) -> Generator[tuple[Item, Result | NoAnswer]]:
    """What `ask` gives for each item, `options.concurrency` of them at a time; NoAnswer where it raised that.

    What has no answer is given only after something that has one, which shows that the server lives.

    Args:
        items: taken only as far ahead as the server is kept busy.
        ask: called in threads.
        lives: asked when the server may be gone, says whether it is not: questions that no server answers may come in a
            row, and are given then. By default `patience` alone decides.
        ordered: in the order of `items`; else as soon as each is done. Without order a slow one holds up nobody.
    Raises:
        ServerGone: after `options.patience` items in a row without an answer, or as `ask` does. What was given before
            stays.
    """
    options = server.options
    slots = threading.Semaphore(options.concurrency)
    waiting: _Waiting = []
    silent: list[tuple[Item, NoAnswer]] = []
    answered = False
    iterator = iter(items)
    try:
        while True:
            for item in islice(iterator, 2 * options.concurrency - len(waiting)):
                waiting.append((item, _begin(item, ask, slots)))
            if not waiting:
                break
            item, future = waiting.pop(0 if ordered else _done(waiting))
            try:
                result = future.result()
            except NoAnswer as error:
                silent.append((item, error))
                if len(silent) >= options.patience:
                    if lives is None or not lives():
                        raise gone(options, len(silent), error) from None
                    yield from silent
                    silent.clear()
                continue
            answered = True
            yield from silent
            silent.clear()
            yield item, result
        if silent and not (answered if lives is None else lives()):
            raise gone(options, len(silent), silent[-1][1])
        yield from silent
    finally:
        server.stop()
        rest = [future for _, future in waiting]
        threading.Thread(target=_close, args=(server, rest), daemon=True, name="chat-end").start()


def _begin(item: Item, ask: Callable[[Item], Result], slots: threading.Semaphore) -> "futures.Future[Result]":
    """Start on an item in a thread of its own. A daemon: at the end of a run nobody waits for a server that hangs."""
    future: futures.Future[Result] = futures.Future()

    def work() -> None:
        with slots:
            try:
                future.set_result(ask(item))
            except BaseException as error:
                future.set_exception(error)

    threading.Thread(target=work, daemon=True, name="chat-asks").start()
    return future


def _done(waiting: _Waiting) -> int:
    """Which is done, once one is; of several the first."""
    done, _ = futures.wait([future for _, future in waiting], return_when=futures.FIRST_COMPLETED)
    return next(number for number, (_, future) in enumerate(waiting) if future in done)


def _close(server: Server, rest: list["futures.Future[Result]"]) -> None:
    futures.wait(rest)
    server.close()
