"""Tables for people to read, on a terminal or in a file."""

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table


def put(tables: Iterable[Table], console: Console | None = None) -> None:
    """Print tables; a file or a pipe gets plain lines, as wide as they need to be. By default to standard output."""
    console = console or Console()
    for table in tables:
        if not console.is_terminal:
            # Without a terminal rich assumes 80 columns and would squeeze what is wider.
            wanted = console.measure(table, options=console.options.update(max_width=1000)).maximum
            console = Console(file=console.file, width=max(80, wanted))
        console.print(table)


def headed(title: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE, padding=0)
    table.add_column("", overflow="fold")
    return table


def label(name: str, mode: str) -> str:
    return f"{name}\n{mode.replace('_', '-')}"


def with_ends(value: float | None, ends: list[float | None] | None) -> str:
    """The value, and its interval on a line below where there is one."""
    low, high = ends or (None, None)
    return one_decimal(value) + ("" if low is None or high is None else f"\n{_short(low)}..{_short(high)}")


def one_decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
