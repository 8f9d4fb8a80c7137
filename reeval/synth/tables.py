"""Rows of a table of text, CSV or JSON Lines, one at a time, with where each stands.

Messages name file, row and column, never what stands there.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t", ".tab": "\t"}
_JSON = (".jsonl", ".ndjson")
_SIGNATURES = (  # the longer first: UTF-32's begins with UTF-16's
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
# No report is longer: a quote that is never closed ends here instead of taking the rest of the file.
_LONGEST_FIELD = 1 << 20
TOO_MANY = "more fields than the header; put text that holds the delimiter in quotes"

# Number of the row, from 1 and without a header; file and row for messages; names and values of its columns.
Row = tuple[int, str, list[tuple[str, Any]]]


def rows(path: Path) -> Iterator[Row]:
    """The rows of a .csv, .tsv or .jsonl file, in order; empty lines are none.

    Of a CSV file all values are text, "" where a row ends early. A JSON Lines row's number is its line's.

    Raises:
        ValueError: one line with file, row and remedy.
    """
    return _json(path) if _suffix(path) in _JSON else _csv(path)


def count(path: Path) -> int:
    """How many rows `rows` gives, without their values."""
    if _suffix(path) in _JSON:
        return sum(1 for line in lines(path, "\n") if line.strip())
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(lines(path), delimiter=_delimiter(path))
    number = 0
    try:
        for row in reader:
            number += bool(row)
    except csv.Error:
        pass  # `rows` says what is wrong, and where
    return max(0, number - 1)


def lines(path: Path, newline: str = "") -> Iterator[str]:
    """The lines of a text file, with their ends: UTF-8, or what a byte order mark says.

    What does not decode becomes half of a surrogate pair, so that `encodable` can say in which field it stands.

    Args:
        newline: as `open` takes it.
    """
    number = 0
    with path.open("rb") as file:
        start = file.read(4)
    encoding = next((name for mark, name in _SIGNATURES if start.startswith(mark)), "utf-8")
    with path.open(encoding=encoding, errors="surrogateescape", newline=newline) as text:
        try:
            for number, line in enumerate(text, start=1):
                if "\0" in line:
                    raise ValueError(f"{path}: line {number}: a NUL byte; save the file as UTF-8 text")
                yield line
        except UnicodeDecodeError:
            where = f"{path}: line {number + 1} or later"
            raise ValueError(f"{where}: not {encoding.upper()}; save the file as UTF-8") from None


def encodable(text: str, where: str) -> str:
    """The text; ValueError if part of it did not decode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: not UTF-8; save the file as UTF-8") from None
    return text


def _csv(path: Path) -> Iterator[Row]:
    for number, where, header, row in cells(path):
        if any(row[len(header) :]):
            raise ValueError(f"{where}: {TOO_MANY}")
        yield number, where, list(zip(header, row + [""] * (len(header) - len(row)), strict=False))


def cells(path: Path) -> Iterator[tuple[int, str, list[str], list[str]]]:
    """Number, place, header and cells of each row of a .csv or .tsv file; there may be more cells than the header has.

    Raises:
        ValueError: as `rows`, where nothing that follows can be trusted.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(lines(path), delimiter=_delimiter(path), strict=True)
    header: list[str] = []
    number = 0
    while True:
        where = f"{path}: row {number + 1} (line {reader.line_num + 1})" if header else f"{path}: header"
        try:
            row = next(reader, None)
        except csv.Error:
            remedy = 'a quote is not closed, or not doubled ("") inside quotes; mend it'
            raise ValueError(f"{where}: {remedy}") from None
        if row is None:
            return
        if not row:
            continue
        if not header:
            header = row
            continue
        number += 1
        yield number, where, header, row


def _json(path: Path) -> Iterator[Row]:
    for number, line in enumerate(lines(path, "\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: not valid JSON at column {error.colno}; give one {{...}} a line") from None
        except RecursionError:
            raise ValueError(f"{where}: not valid JSON: nested too deeply") from None
        if not isinstance(row, dict):
            raise ValueError(f"{where}: not a JSON object; give one {{...}} a line")
        yield number, where, list(row.items())


def _suffix(path: Path) -> str:
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    suffix = path.suffix.lower()
    if suffix not in (*_DELIMITERS, *_JSON):
        raise ValueError(f"{path}: unknown kind of file; give .csv, .tsv, .jsonl or a folder of .txt files")
    return suffix


def _delimiter(path: Path) -> str:
    """By suffix; for .csv the one that cuts the header into the most fields."""
    header = next((line for line in lines(path) if line.strip()), "")[:65536]
    return max(_DELIMITERS[_suffix(path)], key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))
