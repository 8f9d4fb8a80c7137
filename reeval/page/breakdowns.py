"""The page's tables by aspect, type and length, and of the severity of single errors."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reeval.page.cells import UNKNOWN, Cell, Table, name, plain, rate
from reeval.page.inputs import Column

_GROUPED = (
    "D over the pairs with a significant error of the group, R over the insignificant pairs with any error of it; n of "
    "D and of R beneath the name, intervals beneath the values."
)
_LENGTHS = (
    "Pairs by the number of words of the reference, in about quarters; n of D and of R beneath the name, intervals "
    "beneath the values."
)
_SEVERITIES = (
    "Of the gold errors: the share that was found, and of those found the share graded rightly, apart for significant "
    "(sig.) and insignificant (insig.) ones. An evaluator that maps each type to one severity shows as 100 and 0."
)


def breakdowns(columns: Sequence[Column]) -> Iterable[Table]:
    yield _groups(columns, "by_type", "By type of error", _GROUPED)
    yield _severity(columns, "by_type", "Severity of single errors, by type")
    yield _groups(columns, "by_aspect", "By aspect", _GROUPED)
    yield _severity(columns, "by_aspect", "Severity of single errors, by aspect")
    yield _groups(columns, "by_length", "By length of the reference", _LENGTHS)


def _groups(columns: Sequence[Column], key: str, title: str, note: str) -> Table:
    found = [(column, _labelled(column.summary.get(key))) for column in columns if column.summary.get(key)]
    rows = []
    for said in dict.fromkeys(said for _, groups in found for said in groups):
        mine = [groups.get(said) or {} for _, groups in found]
        cells = [_without_n(each.get(which)) for each in mine for which in ("D", "R")]
        if any(cell.text != UNKNOWN for cell in cells):
            counts = ", ".join(plain((mine[0].get(which) or {}).get("n")) for which in ("D", "R"))
            rows.append([name(said, f"n {counts}"), *cells])
    groups = [("", 1), *((column.label, 2) for column, _ in found)]
    return Table(key.replace("_", "-"), title, note, ["", *["D", "R"] * len(found)], rows, groups)


def _labelled(groups: Any) -> dict[str, Any]:
    if isinstance(groups, Mapping):
        return dict(groups)
    return {f"{plain(each.get('words_least'))} to {plain(each.get('words_most'))} words": each for each in groups}


def _without_n(value: Any) -> Cell:
    return rate({k: v for k, v in value.items() if k != "n"} if isinstance(value, Mapping) else None)


def _severity(columns: Sequence[Column], key: str, title: str) -> Table:
    severities = [(column, column.summary.get("severity") or {}) for column in columns]
    found = [(column, s[key] | {"all": s.get("all")}) for column, s in severities if s.get(key)]
    rows = []
    for said in dict.fromkeys(said for _, groups in found for said in groups):
        mine = [groups.get(said) or {} for _, groups in found]
        wanted = ("found", "right_significant", "right_insignificant")
        cells = [rate(each.get(which)) for each in mine for which in wanted]
        if any(cell.text != UNKNOWN for cell in cells):
            rows.append([name(said), *cells])
    groups = [("", 1), *((column.label, 3) for column, _ in found)]
    head = ["", *["found", "sig.", "insig."] * len(found)]
    return Table(f"severity-{key.replace('_', '-')}", title, _SEVERITIES, head, rows, groups)
