"""A mapping file: which column of a table is what of a pair. TOML:

    [columns]
    pair_id = "id"                # without it: the reference's id and a number
    reference_id = "study"
    reference = "report"
    candidate = "generated"
    label = "grade"               # of the pair as a whole
    image = "file"                # a relative path starts at the table's directory
    metadata = ["model", "site"]  # copied
    optional = ["label"]          # of the above, those that the table may lack

    [severities]                  # a value of the table, of labels and of errors = "significant" or "insignificant"
    major = "significant"

    [errors]                      # without it pairs have no errors, but perhaps a label
    layout = "rows"               # a row an error, and rows that agree in pair_id are a pair; or "json": a list in
    column = "errors"             # this column of objects, whose names are given below
    type = "kind"                 # needed, as are aspect and severity
    reference_span = "before"     # candidate_span and explanation likewise
    none = ["", "no error"]       # with "rows": types that say that there is no error
    unmappable = "refuse"         # or "label": a pair with an error that cannot be mapped keeps its label alone

    [ratings]                     # what each rater said, kept as metadata.ratings; an empty cell: nothing
    reader_1 = "grade_1"          # the column of the rater's label, a value of [severities]; or of numbers of errors
    reader_2 = {significant = "major_2", insignificant = "minor_2"}

    [types]                       # a value of the table = ours; [aspects] likewise
    "false finding" = "fabrication"

Case and white space of values make no difference, and our own names need no entry. Of a pair with several labels, or
with none but errors that cannot be mapped, one that is significant makes it significant. Without a column of labels and
without [errors], the raters' ratings make the label, by the command's rule.
"""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from reeval.pairs import like_a_name
from reeval.taxonomy import ASPECTS, SEVERITIES, TYPES

NEEDED = ("reference_id", "reference", "candidate")
TEXTS = ("pair_id", *NEEDED, "label", "image")
SPANS = ("reference_span", "candidate_span", "explanation")
# Of an error: the field, and the table of the names that its values may have.
NAMED = {"type": "types", "aspect": "aspects", "severity": "severities"}
_OURS = {"types": TYPES, "aspects": ASPECTS, "severities": SEVERITIES}
_CHOICES = {"layout": ("rows", "json"), "unmappable": ("refuse", "label")}


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """What a mapping file says. `names`: table -> folded value -> ours; `errors` is None without that table."""

    columns: Mapping[str, str]
    metadata: tuple[str, ...]
    optional: frozenset[str]
    errors: Mapping[str, Any] | None
    ratings: Mapping[str, str | Mapping[str, str]]  # rater -> the column of labels, or severity -> that of numbers
    names: Mapping[str, Mapping[str, str]]


def read(name: str | Path) -> Columns:
    """The mapping in a file, or the one of that name that comes with the package.

    Raises:
        ValueError: one line with the file, the entry and the remedy.
    """
    path, text = Path(name), None
    shipped = resources.files("reeval.benchmarks").joinpath(f"{path.name}.toml")
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    elif str(name) == path.name and shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    if text is None:
        raise ValueError(f"{path}: no such mapping file; give one, or reevalmed")
    try:
        return _columns(tomllib.loads(text))
    except ValueError as error:  # TOML's own errors are of this kind
        raise ValueError(f"{path}: {error}") from None


def folded(value: Any) -> str:
    """A value as mappings compare it: without regard to case and white space; "" for null."""
    return "" if value is None else " ".join(str(value).split()).casefold()


def _columns(data: Mapping[str, Any]) -> Columns:
    _known("", data, ("columns", "errors", "ratings", *_OURS))
    for table, entries in data.items():
        if not isinstance(entries, dict):
            raise ValueError(f"{table}: must be a table, [{table}]")
    given = data.get("columns", {})
    _known("columns.", given, (*TEXTS, "metadata", "optional"))
    for name in NEEDED:
        if name not in given:
            raise ValueError(f"columns.{name}: missing; give the name of the table's column")
    columns = {name: _text(f"columns.{name}", given[name]) for name in TEXTS if name in given}
    optional = _texts("columns.optional", given.get("optional", []))
    _known("columns.optional: ", optional, (*(name for name in TEXTS if name not in NEEDED), "metadata"))
    return Columns(
        columns,
        tuple(_texts("columns.metadata", given.get("metadata", []))),
        frozenset(optional),
        _errors(data["errors"]) if "errors" in data else None,
        {rater: _rater(f"ratings.{rater}", given) for rater, given in data.get("ratings", {}).items()},
        {table: _names(table, data.get(table, {}), ours) for table, ours in _OURS.items()},
    )


def _errors(given: Mapping[str, Any]) -> dict[str, Any]:
    _known("errors.", given, (*_CHOICES, "column", "none", *NAMED, *SPANS))
    made = {"layout": "rows", "unmappable": "refuse"} | {
        name: _text(f"errors.{name}", value) for name, value in given.items() if name != "none"
    }
    for name, allowed in _CHOICES.items():
        if made[name] not in allowed:
            raise ValueError(f"errors.{name}: must be one of {', '.join(allowed)}")
    needed = [*NAMED, *(["column"] if made["layout"] == "json" else [])]
    for name in needed:
        if name not in made:
            raise ValueError(f"errors.{name}: missing; give the name of the table's column")
    return made | {"none": frozenset(map(folded, _texts("errors.none", given.get("none", []))))}


def _rater(where: str, given: Any) -> str | dict[str, str]:
    if not isinstance(given, dict):
        return _text(where, given)
    _known(f"{where}.", given, SEVERITIES)
    for name in SEVERITIES:
        if name not in given:
            raise ValueError(f"{where}.{name}: missing; give the column of either number, or of the label alone")
    return {name: _text(f"{where}.{name}", given[name]) for name in SEVERITIES}


def _names(table: str, given: Mapping[str, Any], ours: Iterable[str]) -> dict[str, str]:
    names = {name: name for name in ours}
    for value, name in given.items():
        if name not in names.values():
            raise ValueError(f"{table}.{value!r}: must be one of {', '.join(ours)}")
    return names | {folded(value): name for value, name in given.items()}


def _known(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            shown = name if like_a_name(name) else "an entry"
            raise ValueError(f"{where}{shown}: unknown; there are {', '.join(known)}")


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: must be text in quotes")
    return value


def _texts(where: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: must be a list of texts, [...]")
    return [_text(where, item) for item in value]
