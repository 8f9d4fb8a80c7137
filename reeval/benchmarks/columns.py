"""Lines of a table by the names of their columns."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval.pairs import like_a_name
from reeval.synth import tables


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """`where` is file and row, for messages. Of a CSV file all values are text."""

    where: str
    values: Mapping[str, Any]


def lines(file: Path, columns: Sequence[str] = ()) -> Iterator[Line]:
    """The lines of a .csv, .tsv or .jsonl file that has the columns.

    Raises:
        ValueError: one line with file, row and remedy, when the table gets there.
    """
    for _, where, items in tables.rows(file):
        values = {str(name).strip(): _decoded(value, where) for name, value in items}
        if len(values) < len(items):
            raise ValueError(f"{where}: two columns have the same name; rename one")
        if missing := [name for name in columns if name not in values]:
            raise ValueError(f"{where}: no column {missing[0]!r}; there are {_names(values)}")
        yield Line(where, values)


def _decoded(value: Any, where: str) -> Any:
    return tables.encodable(value, where) if isinstance(value, str) else value


def _names(values: Mapping[str, Any]) -> str:
    # A file without a header has report text for names: only what is like a name is shown.
    shown = [name for name in values if like_a_name(name)]
    return ", ".join(shown[:20]) + (", ..." if len(shown) < len(values) or shown[20:] else "")
