"""Cells of the page's tables: numbers as people read them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "–"


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """
    Attributes:
        text: what stands there.
        below: smaller, beneath it: an interval, a count.
        bar: (low, value, high) in percent, drawn as a point on a line from 0 to 100.
        number: whether it is one, and stands to the right.
    """

    text: str
    below: str = ""
    bar: tuple[float, float, float] | None = None
    number: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """
    Attributes:
        key: of the element, for links.
        groups: (label, columns) of a line above the head; the first of them stands above the names.
        head: of each column; the first column holds the names of the rows.
    """

    key: str
    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    groups: Sequence[tuple[str, int]] = ()


def name(text: str, below: str = "") -> Cell:
    return Cell(text, below, number=False)


def label(evaluator: str, mode: str) -> str:
    """How an evaluator in a mode is called; a scalar metric has but one."""
    return evaluator if mode == "scalar" else f"{evaluator}, {mode.replace('_', '-')}"


def rate(value: Any, *, bar: bool = False) -> Cell:
    """Of {"percent", "low", "high", "right", "n"}."""
    if not isinstance(value, Mapping) or value.get("percent") is None:
        return Cell(UNKNOWN)
    low, high = value.get("low"), value.get("high")
    return interval(value["percent"], [low, high], bar=bar, n=value.get("n"))


def interval(value: Any, ends: Any, *, bar: bool = False, n: Any = None, digits: int = 1) -> Cell:
    """A number above its interval, and its n."""
    if not _is_number(value):
        return Cell(UNKNOWN)
    below, drawn = "", None
    if isinstance(ends, Sequence) and len(ends) == 2 and all(map(_is_number, ends)):
        low, high = ends
        below = f"{short(low, digits)} to {short(high, digits)}"
        drawn = (float(low), float(value), float(high)) if bar else None
    if n is not None:
        below = f"{below}, n {n:,}" if below else f"n {n:,}"
    return Cell(fixed(value, digits), below, drawn)


def fixed(value: Any, digits: int = 1) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if _is_number(value) else UNKNOWN


def short(value: float, digits: int = 1) -> str:
    """Without zeros that say nothing."""
    text = fixed(value, digits)
    return text.rstrip("0").removesuffix(".") if "." in text else text


def plain(value: Any) -> str:
    """Any number, to three places that count."""
    if isinstance(value, bool) or value is None:
        return {None: UNKNOWN, True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if not _is_number(value):
        return str(value)
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}".replace("-", "−")
    return f"{value:,.0f}".replace("-", "−") if abs(value) >= 1e3 else f"{value:.3g}".replace("-", "−")


def p_value(value: Any) -> str:
    if not _is_number(value):
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
