"""Evaluators to judgement files: what is judged once is not judged again, whatever happens.

Of each evaluator and mode `judgements/NAME/` has MODE.log.jsonl, which grows as pairs are judged; MODE.settings.json,
which says with what; and, once all pairs are judged, MODE.jsonl, one row a pair. An evaluator that is cheap has the
last alone, made anew by each run.
"""

import contextlib
import dataclasses
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from reeval import hosts, judgements
from reeval.evaluators.evaluator import NO_ANSWER, Evaluator
from reeval.files import LineLog, write_atomically
from reeval.judgements import Judgement
from reeval.pairs import Pair
from reeval.progress import progress
from reeval.run import one_line

# Rows that come quickly go to the disk together.
_SECONDS = 0.5


class Failed(Exception):
    """Some evaluators could not go on, as has been said; what the others said stands."""

    exit_code = 1


def judge(evaluator: Evaluator, name: str, mode: str, pairs: Sequence[Pair], workdir: Path) -> list[Judgement]:
    """What an evaluator says of each pair, in their order; written as the module's head says.

    Raises:
        ValueError: if the files there were made with other settings; or as the evaluator does.
        hosts.Stopped: on SIGTERM, inside of `stoppable`.
    """
    directory = workdir / "judgements" / name
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    label = f"{name} {mode}"
    if evaluator.keeps:
        found = _kept(evaluator, label, mode, pairs, directory)
    else:
        with progress(label, len(pairs)) as advance:
            found = {}
            for made in evaluator.judge(pairs, mode):
                found[made.pair_id] = made
                advance(len(found), "")
    judged = [found[pair.pair_id] for pair in pairs]
    write_atomically(directory / f"{mode}.jsonl", judgements.lines(judged))
    silent = sum(each.parse_status.startswith(NO_ANSWER) for each in judged)
    if silent:
        print(f"reeval: {label}: {silent} pairs got no answer; the same command asks for them again", file=sys.stderr)
    return judged


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Inside the block SIGTERM raises hosts.Stopped at once, even where a server is waited for.

    That is no worse than being killed, which the files survive, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise hosts.Stopped("stopped; what was judged is saved, and the same command goes on")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _kept(evaluator: Evaluator, label: str, mode: str, pairs: Sequence[Pair], directory: Path) -> dict[str, Judgement]:
    contents = {pair.pair_id: evaluator.content(pair) for pair in pairs}
    path = directory / f"{mode}.log.jsonl"
    log = LineLog(path)
    try:
        _sign(directory / f"{mode}.settings.json", evaluator.identity(mode), fresh=not log.rows)
        found = _known(path, log.rows, contents)
        missing = [pair for pair in pairs if pair.pair_id not in found]
        silent = 0
        if missing:
            with progress(label, len(pairs), done=len(found)) as advance:
                for group in _groups(evaluator.judge(missing, mode)):
                    rows = [_row(contents[each.pair_id], each) for each in group if _to_keep(each)]
                    log.append(rows)
                    found |= {each.pair_id: each for each in group}
                    silent += len(group) - len(rows)
                    advance(len(found), f"{silent} without answer" if silent else "")
    finally:
        log.close()
    return found


def _sign(path: Path, identity: Mapping[str, str], *, fresh: bool) -> None:
    """Record what decides these judgements, or make sure that those there were made with the same."""
    if not fresh or path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))["identity"]
            names = before.keys() | identity.keys()
            differing = sorted(name for name in names if before.get(name) != identity.get(name))
        except FileNotFoundError:
            raise ValueError(f"{path}: missing, though judgements lie beside it; move them away") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path}: damaged; move it and the files beside it away") from None
        if differing and not fresh:
            name = differing[0]
            raise ValueError(
                f"{path}: the judgements there were made with {name}={before.get(name)}, not {identity.get(name)}; "
                f"move {path.parent} away, or give the evaluator another name"
            )
        if not differing:
            return
    write_atomically(path, json.dumps({"signature": one_line(identity), "identity": dict(identity)}, indent=2) + "\n")


def _known(path: Path, rows: Sequence[Mapping[str, Any]], contents: Mapping[str, str]) -> dict[str, Judgement]:
    """Judgements of pairs as they are now; of two the later counts."""
    found = {}
    for number, row in enumerate(rows, start=1):
        if contents.get(str(row.get("pair_id"))) == row.get("sha256"):
            try:
                made = judgements.judgement(row)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}; remove the line, and it is made anew") from None
            found[made.pair_id] = made
    return found


def _row(content: str, judged: Judgement) -> dict[str, Any]:
    return {"sha256": content, **dataclasses.asdict(judged)}


def _to_keep(judged: Judgement) -> bool:
    return not judged.parse_status.startswith(NO_ANSWER)


def _groups(judged: Iterator[Judgement]) -> Iterator[list[Judgement]]:
    group: list[Judgement] = []
    began = time.monotonic()
    try:
        for each in judged:
            group.append(each)
            if time.monotonic() - began >= _SECONDS:
                yield group
                group, began = [], time.monotonic()
    except Exception:
        # What was given before an evaluator fails is no less right.
        yield group
        raise
    if group:
        yield group
