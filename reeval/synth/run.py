"""`reeval synth`: a file of reports to a file of labelled pairs, streamed, and continued after a kill.

While it is being made the file is called OUT.part; OUT.synth.json says what it is made from and, at the end, what came
of it. A run goes on behind the last whole line of OUT.part: the draws depend on the report alone, and what has been
counted over the pairs before is counted again from them.
"""

import dataclasses
import fcntl
import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from reeval import pairs
from reeval.files import write_atomically
from reeval.pairs import Pair
from reeval.progress import progress
from reeval.synth import compose, reports
from reeval.synth.balance import Balance
from reeval.synth.compose import Mixture
from reeval.synth.reports import Report
from reeval.version import __version__

_ROUNDS = 8


@dataclasses.dataclass(frozen=True)
class Options:
    """What to make.

    reports, columns: as `reports.read` takes them.
    count: pairs in all; each report gives its share, and what reports cannot carry others give.
    levels: instead of mixtures, up to this many candidates a report, each with one more significant error than the one
        before; 0 for mixtures.
    """

    reports: str
    out: str
    count: int = 4000
    seed: int = 0
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    levels: int = 0
    mixture: Mixture = dataclasses.field(default_factory=Mixture)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"--count={self.count}: must be at least 1")
        if not 0 <= self.levels <= 6:
            raise ValueError(f"--levels={self.levels}: must be 0 (mixtures) to 6")
        if not 0 <= self.mixture.significant <= 1:
            raise ValueError(f"--significant={self.mixture.significant}: must be a share from 0 to 1")


def synthesise(options: Options) -> dict[str, Any]:
    """Make the pairs, or the rest of them; gives the summary that OUT.synth.json holds.

    Raises:
        ValueError: bad input or options, or files of another run at OUT.
    """
    out = Path(options.out)
    part, about = out.with_name(out.name + ".part"), out.with_name(out.name + ".synth.json")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: no directory {out.parent}; make it first")
    signature = _signature(options)
    known = read_about(about)
    if (out.exists() or part.exists()) and known.get("made_from") != signature:
        which = out if out.exists() else part
        raise ValueError(f"{which}: exists, from other reports or options; remove it or give another --out")
    if out.exists():
        return dict(known["summary"])
    write_atomically(about, json.dumps({"made_from": signature}, indent=2) + "\n")
    with locked(part) as file:
        summary = _make(options, file)
        file.flush()
        os.fsync(file.fileno())
        if not summary["pairs"]:
            raise ValueError(f"{options.reports}: none of its reports carries an edit; are they chest X-ray reports?")
        write_atomically(about, json.dumps({"made_from": signature, "summary": summary}, indent=2) + "\n")
        os.replace(part, out)
    return summary


@dataclasses.dataclass(slots=True)
class _Position:
    """How far a run is: pairs written, those of earlier rounds, and where the last one came from."""

    made: int = 0
    before_round: int = 0
    round: int = 0
    row: int = 0
    number: int = 0


def _make(options: Options, file: BinaryIO) -> dict[str, Any]:
    balance, dropped = Balance(), Counter[str]()
    done = _resume(options, file, balance)
    rows = reports.count(options.reports)
    with progress("pairs", options.count, done=done.made) as advance:
        for round_number in range(done.round, _ROUNDS):
            if round_number > done.round:
                done = _Position(done.made, done.made, round_number)
            wanted = options.count - done.before_round
            skipped = Counter[str]()
            stream = reports.read(options.reports, columns=options.columns, skipped=skipped)
            for index, report in enumerate(stream):
                if done.made == options.count:
                    break
                if report.row < done.row:
                    continue
                # Rounded up: some rows may hold no report, and the last ones must not be needed.
                share = -(-(index + 1) * wanted // rows) - -(-index * wanted // rows)
                for pair in _of_report(options, report, round_number, share, done, balance, dropped):
                    file.write(json.dumps(pairs.to_json(pair), ensure_ascii=False).encode() + b"\n")
                    done.made += 1
                    advance(done.made, "")
                    if done.made == options.count:
                        break
                file.flush()
            if done.made in (done.before_round, options.count) or options.levels:
                break
    # What was dropped before an interruption is not known any more.
    return {
        "pairs": done.made,
        "significant": balance.labels[True],
        "reports left out": dict(sorted(skipped.items())),
        "dropped": dict(sorted(dropped.items())),
    }


def _of_report(
    options: Options, report: Report, round_number: int, share: int, done: _Position, balance: Balance,
    dropped: Counter[str],
) -> Iterator[Pair]:  # fmt: skip
    """The pairs of a report that are not written yet."""
    first = done.number + 1 if report.row == done.row else 1
    done.row, done.number = 0, 0
    if first > share and not options.levels:
        return
    seed = f"{options.seed}-{round_number}-{report.reference_id}"
    made_of = compose.material(report.text, random.Random(seed))
    source = {"row": report.row, "round": round_number}
    if options.levels:
        if first == 1:
            for pair in compose.levels(report.reference_id, made_of, options.levels, random.Random(seed), balance):
                yield dataclasses.replace(pair, metadata={**pair.metadata, **source})
        return
    for number in range(first, share + 1):
        rng = random.Random(f"{seed}-{number}")
        pair_id = f"{report.reference_id}-{round_number * 100 + number}"
        chance = compose.chance_of_significance(balance, options.mixture)
        made = compose.candidate(pair_id, report.reference_id, made_of, chance, rng, balance, options.mixture, dropped)
        if made is not None:
            yield dataclasses.replace(made, metadata={**made.metadata, **source, "number": number})


def _resume(options: Options, file: BinaryIO, balance: Balance) -> _Position:
    """Read what is there, cut off what a kill left half written, and stand behind it."""
    done = _Position()
    at = chain = 0
    rows: list[Pair] = []  # of the last reference, counted once the next one begins: a chain is whole or not there
    file.seek(0)
    for line in file:
        if not line.endswith(b"\n"):
            break
        pair = pairs.from_json(json.loads(line), Path())
        if not rows or rows[-1].metadata["row"] != pair.metadata["row"]:
            for earlier in rows:
                balance.add(earlier)
            rows, chain = [], at
        rows.append(pair)
        at += len(line)
        round_number = pair.metadata["round"]
        if round_number > done.round:
            done = _Position(done.made, done.made, round_number)
        done.made += 1
        done.row, done.number = pair.metadata["row"], pair.metadata.get("number", 0)
    if options.levels and rows and rows[-1].metadata["level"] < rows[-1].metadata["levels"]:
        done.made -= len(rows)
        at, rows = chain, []
    for earlier in rows:
        balance.add(earlier)
    if options.levels and rows:
        done.number = options.levels
    file.seek(at)
    file.truncate()
    return done


def _signature(options: Options) -> dict[str, Any]:
    made_from = dataclasses.asdict(options)
    del made_from["reports"], made_from["out"]
    made_from["columns"] = dict(options.columns)
    made_from["mixture"] = json.loads(json.dumps(made_from["mixture"]))
    return {"reports": reports.signature(options.reports), **made_from, "version": __version__}


def read_about(path: Path) -> dict[str, Any]:
    """What stands beside the pairs on their making; {} where nothing does."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError):
        raise ValueError(f"{path}: damaged; remove it together with what it describes") from None


@contextmanager
def locked(path: Path) -> Iterator[BinaryIO]:
    """A file of one process, readable by its owner alone: it holds reports."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{path}: another process is writing it; wait for it or stop it") from None
        yield file
