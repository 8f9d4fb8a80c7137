"""Rows of a file that others made, each with the pair that it is of; what is wrong with it is counted and said.

A row that cannot be used costs its own pair and no other. Messages name file and line, never what stands there.
"""

import csv
import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval.evaluators.evaluator import encodable
from reeval.pairs import Pair
from reeval.synth import tables

MISSING = "no output for this pair"
_IDS = ("pair_id", "id", "study_id", "case_id")
_JSON = (".jsonl", ".ndjson")
_SHOWN = 5

Row = Mapping[str, Any]


class Rows:
    """Goes once over the rows of known pairs: (where, pair id, the row).

    Of two rows of a pair the first counts. Lines that are no row at all are counted as broken.

    Raises:
        ValueError: if the file cannot be read at all.
    """

    def __init__(self, path: Path, pairs: Sequence[Pair], wanted: Callable[[Row], bool] = lambda row: True):
        """
        Args:
            wanted: what a row has to fulfil to be looked at.
        """
        self.path, self._wanted = path, wanted
        self._known = {pair.pair_id for pair in pairs}
        self._seen: set[str] = set()
        self.rows = self.twice = self.unknown = 0
        self.problems: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[tuple[str, str, Row]]:
        reader = _json if self.path.suffix.lower() in _JSON else _csv
        for where, row in reader(self.path):
            self.rows += 1
            if isinstance(row, str):
                self.broken(where, row)
                continue
            if not self._wanted(row):
                continue
            pair_id = next((row[name] for name in _IDS if row.get(name) not in (None, "")), None)
            if pair_id is None:
                self.broken(where, "has no pair_id")
            elif isinstance(pair_id, bool) or not isinstance(pair_id, str | int):
                self.broken(where, "pair_id must be text")
            elif str(pair_id) not in self._known:
                self.unknown += 1
            elif str(pair_id) in self._seen:
                self.twice += 1
            else:
                self._seen.add(str(pair_id))
                yield where, str(pair_id), row

    def broken(self, where: str, why: str) -> None:
        self.problems.append((where, why))

    def missing(self, pair: Pair) -> str:
        """The parse status of a pair without a usable row."""
        return MISSING

    def finish(self, used: int) -> None:
        """Raises ValueError if nothing could be used: then it is another file than it was taken for."""
        if used:
            return
        if not self.rows:
            raise ValueError(f"{self.path}: holds no rows; give one object a line, or a header and rows")
        if self.problems:
            where, why = self.problems[0]
            raise ValueError(f"{where}: {why}; none of {self.rows} rows can be used: is it the right file and format?")
        raise ValueError(f"{self.path}: none of its {self.rows} rows is of the study's pairs; compare their pair_id")


def say(path: Path, rows: Rows, *, missing: int = 0) -> None:
    """What could not be used of a file, on standard error."""
    for where, why in rows.problems[:_SHOWN]:
        print(f"reeval: {where}: {why}; counted as a parse failure", file=sys.stderr)
    if rows.problems[_SHOWN:]:
        print(f"reeval: {path}: {len(rows.problems) - _SHOWN} more rows cannot be read", file=sys.stderr)
    counts = {
        "rows of pairs that have one already, of which the first counts": rows.twice,
        "rows of pairs that the study does not have, left out": rows.unknown,
        "pairs without a row, counted as parse failures": missing,
    }
    for what, count in counts.items():
        if count:
            print(f"reeval: {path}: {count} {what}", file=sys.stderr)


def file_sha256(path: Path) -> str:
    """Raises ValueError where there is none."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(path: Path) -> Iterator[tuple[str, Row | str]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = _encodable(json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")))
            except UnicodeDecodeError:
                yield where, "is not UTF-8"
            except (ValueError, RecursionError):
                yield where, "is not JSON"
            else:
                yield where, row if isinstance(row, dict) else "is no JSON object"


def _encodable(value: Any) -> Any:
    """With nothing that no file can hold."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return {_encodable(k): _encodable(v) for k, v in value.items()} if isinstance(value, dict) else value


def _csv(path: Path) -> Iterator[tuple[str, Row | str]]:
    """A row too long costs itself; a quote that is not closed may take in all that follows, and ends the file."""
    if path.suffix.lower() not in (".csv", ".tsv", ".tab"):
        raise ValueError(f"{path}: unknown kind of file; give .jsonl, .csv or .tsv")
    rows = tables.cells(path)
    last = f"{path}"
    while True:
        try:
            found = next(rows, None)
        except (ValueError, csv.Error) as error:
            yield last, f"what follows cannot be read ({_plain(path, error)})"
            return
        if found is None:
            return
        _, last, header, row = found
        long = any(row[len(header) :])
        yield (
            last,
            f"has {tables.TOO_MANY}" if long else dict(itertools.zip_longest(header, row[: len(header)], fillvalue="")),
        )


def _plain(path: Path, error: Exception) -> str:
    return str(error).replace(f"{path}: ", "")
