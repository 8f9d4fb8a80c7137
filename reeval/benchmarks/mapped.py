"""Pairs of any table, by a mapping file (`reeval.benchmarks.mapping`)."""

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval import pairs
from reeval.benchmarks import counts
from reeval.benchmarks.columns import Line, lines
from reeval.benchmarks.mapping import NAMED, NEEDED, SPANS, Columns, folded
from reeval.taxonomy import SEVERITIES

Items = list[tuple[Line, Mapping[str, Any]]]  # of each error: where it stands, and its values


def rows(files: Sequence[Path], mapping: Columns, rule: str = "majority") -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each pair stands, and its JSON object; `rule`, of `counts.RULES`, makes a label of raters' ratings.

    Raises:
        ValueError: one line with file, row, column and remedy.
    """
    of_reference: Counter[str] = Counter()
    for file in files:
        for group in _groups(lines(file, _needed(mapping)), mapping):
            row = _texts(group, mapping)
            if "image" in row:
                row["image"] = str(file.resolve().parent / row["image"])
            if "pair_id" not in row:
                of_reference[row["reference_id"]] += 1
                row["pair_id"] = f"{row['reference_id']}-{of_reference[row['reference_id']]}"
            ratings = _ratings(group, mapping)
            if ratings:
                row["metadata"] = row.get("metadata", {}) | {"ratings": ratings}
            row = _graded(group, row, mapping)
            if ratings and "label" not in mapping.columns and mapping.errors is None:
                row |= _voted(group[0], ratings, rule)
            yield group[0].where, row


def _needed(mapping: Columns) -> list[str]:
    needed = [column for name, column in mapping.columns.items() if name not in mapping.optional]
    needed += [] if "metadata" in mapping.optional else mapping.metadata
    if mapping.errors is not None:
        layout = mapping.errors["layout"]
        needed += [mapping.errors["column"]] if layout == "json" else [mapping.errors[name] for name in NAMED]
    for column in mapping.ratings.values():
        needed += [column] if isinstance(column, str) else column.values()
    return needed


def _groups(table: Iterator[Line], mapping: Columns) -> Iterator[list[Line]]:
    """The lines of each pair, in the order of their first."""
    if mapping.errors is None or mapping.errors["layout"] == "json":
        yield from ([line] for line in table)
        return
    groups: dict[Hashable, list[Line]] = {}
    for line in table:
        told_apart_by = NEEDED if _value(line, mapping, "pair_id") is None else ["pair_id"]
        groups.setdefault(tuple(str(_value(line, mapping, name)) for name in told_apart_by), []).append(line)
    yield from groups.values()


def _value(line: Line, mapping: Columns, name: str) -> Any:
    """Of a field of the pair; None where there is none."""
    return _filled(line.values, mapping.columns.get(name, ""))


def _filled(values: Mapping[str, Any], column: str) -> Any:
    value = values.get(column)
    return None if value is None or not str(value).strip() else value


def _texts(group: Sequence[Line], mapping: Columns) -> dict[str, Any]:
    """The fields that all lines of a pair must agree in."""
    first = group[0]
    row: dict[str, Any] = {}
    for name in ("pair_id", *NEEDED, "image"):
        value = _value(first, mapping, name)
        if value is None and name in NEEDED:
            raise ValueError(f"{first.where}: column {mapping.columns[name]!r}: empty")
        for line in group[1:]:
            if _value(line, mapping, name) != value:
                column = mapping.columns[name]
                raise ValueError(f"{line.where}: column {column!r}: another value than at {first.where}, the same pair")
        if value is not None:
            row[name] = value if name in ("reference", "candidate") else str(value)
    metadata = {name: first.values[name] for name in mapping.metadata if name in first.values}
    return row | ({"metadata": metadata} if metadata else {})


def _graded(group: Sequence[Line], row: dict[str, Any], mapping: Columns) -> dict[str, Any]:
    """With errors, label or both."""
    label = _worst(
        _named("severities", line, mapping.columns["label"], _value(line, mapping, "label"), mapping)
        for line in group
        if _value(line, mapping, "label") is not None
    )
    row |= {"label": label} if label else {}
    items = _items(group, mapping)
    if items is None:
        return row
    assert mapping.errors is not None
    try:
        made = row | {"errors": [_error(line, values, mapping) for line, values in items]}
        if mapping.errors["unmappable"] == "label":
            pairs.from_json(made, Path())
        return made
    except ValueError:
        if mapping.errors["unmappable"] == "refuse":
            raise
    if not label:
        column = mapping.errors["severity"]
        label = _worst(_named("severities", line, column, values.get(column), mapping) for line, values in items)
    return row | {"label": label}


def _ratings(group: Sequence[Line], mapping: Columns) -> dict[str, Any]:
    """Of each rater who said anything: a label, or numbers by severity."""
    made = [{rater: _rating(line, column, mapping) for rater, column in mapping.ratings.items()} for line in group]
    for line, said in zip(group, made, strict=True):
        for rater in said:
            if said[rater] != made[0][rater]:
                other = f"another rating than at {group[0].where}, the same pair"
                raise ValueError(f"{line.where}: rater {rater!r}: {other}")
    return {rater: rating for rater, rating in made[0].items() if rating is not None}


def _rating(line: Line, column: str | Mapping[str, str], mapping: Columns) -> str | dict[str, float] | None:
    if isinstance(column, str):
        value = _filled(line.values, column)
        return None if value is None else _named("severities", line, column, value, mapping)
    cells = {severity: _filled(line.values, name) for severity, name in column.items()}
    if all(cell is None for cell in cells.values()):
        return None
    return {
        severity: counts.number("" if cell is None else cell, line.where, column[severity])
        for severity, cell in cells.items()
    }


def _voted(line: Line, ratings: Mapping[str, Any], rule: str) -> dict[str, Any]:
    if rule == "mean" and any(isinstance(said, str) for said in ratings.values()):
        raise ValueError(
            f"{line.where}: the rule mean needs numbers of errors, and a rater gave a label; take majority"
        )
    found = [float(s == "significant") if isinstance(s, str) else s["significant"] for s in ratings.values()]
    return {"label": counts.label(found, rule)}


def _worst(labels: Iterator[str]) -> str | None:
    return min(labels, key=SEVERITIES.index, default=None)


def _items(group: Sequence[Line], mapping: Columns) -> Items | None:
    """What a pair's errors are made of; None where it has no list of errors."""
    if mapping.errors is None:
        return None
    if mapping.errors["layout"] == "rows":
        kind = mapping.errors["type"]
        return [(line, line.values) for line in group if folded(line.values[kind]) not in mapping.errors["none"]]
    (line,) = group
    column = mapping.errors["column"]
    listed = _filled(line.values, column)
    if isinstance(listed, str):
        try:
            listed = json.loads(listed)
        except ValueError:
            raise ValueError(f"{line.where}: column {column!r}: not valid JSON; give a list of objects") from None
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ValueError(f"{line.where}: column {column!r}: must be a list of objects")
    return [(line, item) for item in listed]


def _error(line: Line, values: Mapping[str, Any], mapping: Columns) -> dict[str, Any]:
    assert mapping.errors is not None
    columns = mapping.errors
    named = {
        name: _named(table, line, columns[name], values.get(columns[name]), mapping) for name, table in NAMED.items()
    }
    spans = {name: _filled(values, columns[name]) for name in SPANS if name in columns}
    return named | {name: value for name, value in spans.items() if value is not None}


def _named(table: str, line: Line, column: str, value: Any, mapping: Columns) -> str:
    names = mapping.names[table]
    if folded(value) not in names:
        raise ValueError(f"{line.where}: column {column!r}: holds a value that [{table}] of the mapping does not name")
    return names[folded(value)]
