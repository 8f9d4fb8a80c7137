"""The taxonomy: 12 aspects x 3 error types, with definitions and rules of significance.

The data stands in `taxonomy.toml`, each rule with its public source. ReEvalMed has 12 aspects and these
three types; its names for the aspects are not published, so ours are a documented choice that can be swapped.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from importlib import resources

TYPES = ("omission", "fabrication", "inaccuracy")
SEVERITIES = ("significant", "insignificant")


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """When an error of its cell matters.

    Args:
        id: unique in its cell; `RULES` has it as `aspect.type.id`.
        source: a key of `SOURCES`.
        unsafe: why no such error is synthesised; empty where one is.
    """

    id: str
    severity: str
    when: str
    source: str
    unsafe: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One aspect x type: what it is, and the rules that tell significant from insignificant."""

    aspect: str
    type: str
    definition: str
    rules: tuple[Rule, ...]


_DATA = tomllib.loads(resources.files("reeval").joinpath("taxonomy.toml").read_text(encoding="utf-8"))

SOURCES: Mapping[str, str] = _DATA["sources"]
DEFINITIONS: Mapping[str, str] = {aspect: entry["definition"] for aspect, entry in _DATA["aspects"].items()}
ASPECTS: tuple[str, ...] = tuple(DEFINITIONS)
CELLS: Mapping[tuple[str, str], Cell] = {
    (aspect, kind): Cell(
        aspect=aspect,
        type=kind,
        definition=entry[kind]["definition"],
        rules=tuple(Rule(**rule) for rule in entry[kind]["rules"]),
    )
    for aspect, entry in _DATA["aspects"].items()
    for kind in TYPES
}
# By its full name, such as "laterality.inaccuracy.wrong-side": the cell it belongs to, and the rule.
RULES: Mapping[str, tuple[Cell, Rule]] = {
    f"{cell.aspect}.{cell.type}.{rule.id}": (cell, rule) for cell in CELLS.values() for rule in cell.rules
}
