"""Pairs to score, as a table has them: its rows kept as they are, and rows with what was found out."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval.pairs import Pair
from reeval.score.scorer import Sample
from reeval.synth import tables

# Usual names of the columns, the first found counts.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "reference": ("reference", "references", "ref", "gt_report", "ground_truth", "gt", "target"),
    "candidate": ("candidate", "candidates", "hypothesis", "prediction", "pred_report", "generated", "pred"),
    "id": ("pair_id", "id", "study_id", "case_id"),
    "image": ("image", "image_path"),
}
_ADDED = (
    "score", "significant", "probability", "significant_errors", "insignificant_errors", "verdict", "raw",
    "parse_status", "signature",
)  # fmt: skip
_KINDS = (".jsonl", ".csv")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of the input and the pair that it holds."""

    row: dict[str, Any]
    pair: Pair


def read(path: str | Path, columns: Mapping[str, str] | None = None) -> list[Entry]:
    """The rows of a CSV, TSV or JSON Lines file, each with its pair.

    A pair's id is its id column's value, or the number of its row. A candidate may be empty: a report that leaves
    everything out. A reference may not.

    Args:
        columns: "reference", "candidate", "id", "image" to a column's name, where it has none of the usual ones.
    Raises:
        ValueError: one line with file, row and column of the first problem.
    """
    path = Path(path)
    entries: list[Entry] = []
    seen: dict[str, str] = {}
    for number, where, cells in tables.rows(path):
        row = dict(cells)
        names = {part: _column(part, row, where, columns or {}) for part in ALIASES}
        texts = {}
        for part in ("reference", "candidate"):
            name = names[part]
            assert name is not None
            texts[part] = _text(row[name], f"{where}: column {name!r}")
        if not texts["reference"].strip():
            raise ValueError(f"{where}: column {names['reference']!r}: empty; a candidate needs a reference")
        given = None if names["id"] is None else row[names["id"]]
        pair_id = str(number if given is None or given == "" else given)
        if pair_id in seen:
            raise ValueError(
                f"{where}: the same id stands at {seen[pair_id].removeprefix(f'{path}: ')}; ids must differ"
            )
        seen[pair_id] = where
        image = None if names["image"] is None else row[names["image"]] or None
        if image is not None:
            image = str((path.parent / _text(image, f"{where}: column {names['image']!r}")).resolve())
        entries.append(Entry(row, Pair(pair_id, pair_id, texts["reference"], texts["candidate"], image=image)))
    if not entries:
        raise ValueError(f"{path}: holds no pair; give a header and a row, or one JSON object a line")
    return entries


def _column(part: str, row: dict[str, Any], where: str, columns: Mapping[str, str]) -> str | None:
    """The name of a part's column in a row."""
    if name := columns.get(part):
        if name not in row:
            raise ValueError(f"{where}: no column {name!r}")
        return name
    by_lower = {name.strip().lower(): name for name in reversed(row)}
    found = next((by_lower[alias] for alias in ALIASES[part] if alias in by_lower), None)
    if found is None and part in ("reference", "candidate"):
        raise ValueError(f"{where}: no column {part!r}; name it with --{part}=COLUMN")
    return found


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: must be text")
    return tables.encodable(value, where)


def check_out(path: Path) -> None:
    """Raises ValueError if a table cannot be written under this name."""
    if path.suffix not in _KINDS:
        raise ValueError(f"{path}: give a name that ends in {' or '.join(_KINDS)}")


def render(path: Path, entries: Sequence[Entry], samples: Iterable[Sample], signature: str) -> str:
    """The table's text, of the kind that the path's name says: the rows with what was found, in their order."""
    taken = {name for entry in entries for name in entry.row}
    names = {name: f"reeval_{name}" if name in taken else name for name in _ADDED}
    rows = [
        entry.row | {names[name]: value for name, value in _found(sample, signature).items()}
        for entry, sample in zip(entries, samples, strict=True)
    ]
    if path.suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _found(sample: Sample, signature: str) -> dict[str, Any]:
    found = {name: getattr(sample, name) for name in _ADDED[:5]}
    found["verdict"] = None if sample.errors is None else {"errors": list(sample.errors)}
    return found | {"raw": list(sample.raw), "parse_status": sample.parse_status, "signature": signature}


def _cell(value: Any) -> Any:
    """Of a CSV file: nothing for what is unknown, JSON for what has parts."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
