"""Where figures go: results.json, TensorBoard, a PNG and the tables that a person reads. None holds report text."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tensorboardX import SummaryWriter

from reeval.evaluate import figure
from reeval.evaluate.printing import headed, label, one_decimal, put, with_ends
from reeval.evaluate.report import Summary, scalars
from reeval.files import write_atomically
from reeval.taxonomy import ASPECTS, TYPES

BASELINES = {"always_flag": "always\nflag", "never_flag": "never\nflag"}


def write_results(path: str | Path, results: Mapping[str, Any]) -> None:
    """Write results as JSON; another process sees the file complete or not at all."""
    write_atomically(Path(path), json.dumps(results, indent=2, allow_nan=False) + "\n")


def write_tensorboard(logdir: str | Path, name: str, summaries: Mapping[str, Summary], step: int) -> None:
    """Write one judge's scalars by mode, as "eval/one_pass/D" and so on, and its figure, at one training step."""
    # The suffix keeps two writers of one second from writing to one file.
    writer = SummaryWriter(str(logdir), filename_suffix=f".eval.{step}.{'.'.join(summaries)}")
    for mode, summary in summaries.items():
        for scalar, value in scalars(summary).items():
            writer.add_scalar(f"eval/{mode}/{scalar}", value, step)
    writer.add_image("eval/dr_curve", figure.pixels(figure.draw(name, summaries)), step, dataformats="HWC")
    writer.close()


def write_figure(path: str | Path, name: str, summaries: Mapping[str, Summary]) -> None:
    """Write the figure of one judge's summaries by mode as a PNG."""
    Path(path).write_bytes(figure.png(figure.draw(name, summaries)))


def print_table(judges: Mapping[str, Mapping[str, Summary]], console: Console | None = None) -> None:
    """Print the table of judges and, unless the pairs have labels alone, the table of severities.

    Args:
        judges: name ("base", "tuned") -> mode -> summary; all over the same pairs.
        console: default standard output. A file or a pipe gets plain lines, as wide as they need to be.
    """
    errors = any(s["severity"]["all"]["found"]["n"] for modes in judges.values() for s in modes.values())
    put([_scores(judges), *([_severities(judges)] if errors else [])], console)


def print_paired(mode: str, first: str, second: str, tests: Mapping[str, Mapping[str, Any]]) -> None:
    """Print `report.compare` of two judges: how many pairs only one of them judged rightly, and the p of it."""
    said = [
        f"{name}: {test['only_second']} pairs only {second}, {test['only_first']} only {first} (p = {test['p']:.2g})"
        for name, test in tests.items()
    ]
    print(f"{mode.replace('_', '-')}, judged rightly by one alone, McNemar's exact test: {'; '.join(said)}")


def _scores(judges: Mapping[str, Mapping[str, Summary]]) -> Table:
    table = headed("Share of pairs judged rightly, in percent, with 95 % intervals")
    headers = ("D", "R", "R without\nidentical", "(D+R)/2", "D-R", "parse\nfail", "n of\nD, R")
    for header in headers:
        table.add_column(header, justify="right", overflow="fold")
    summaries = [(name, mode, summary) for name, modes in judges.items() for mode, summary in modes.items()]
    for key, said in BASELINES.items():
        # The same in every summary, and without intervals: they are what they are by definition.
        table.add_row(said, *_score_cells(summaries[0][2]["baselines"][key], intervals=False))
    for name, mode, summary in summaries:
        table.add_row(label(name, mode), *_score_cells(summary))
    areas = [_area(name, mode, summary) for name, mode, summary in summaries if summary["area"] is not None]
    table.caption = "\n".join(["Area under the D-R curve, of 1:", *areas]) if areas else None
    return table


def _area(name: str, mode: str, summary: Mapping[str, Any]) -> str:
    low, high = summary["area_interval"]
    return f"{name} {mode.replace('_', '-')} {summary['area']:.3f} ({low:.3f}..{high:.3f})"


def _score_cells(summary: Mapping[str, Any], *, intervals: bool = True) -> list[str]:
    rates = [summary[name] for name in ("D", "R", "R_without_identical")]
    values: list[tuple[Any, Any]] = [(rate["percent"], [rate["low"], rate["high"]]) for rate in rates]
    values += [(summary[name], summary.get(f"{name}_interval")) for name in ("balanced", "bias")]
    return [
        *(with_ends(number, ends if intervals else None) for number, ends in values),
        one_decimal(summary["parse_failure_rate"]["percent"]),
        f"{rates[0]['n']}\n{rates[1]['n']}",
    ]


def _severities(judges: Mapping[str, Mapping[str, Summary]]) -> Table:
    table = headed("Single errors: percent found, and of those percent graded rightly, significant/insignificant")
    summaries = [(name, mode, summary) for name, modes in judges.items() for mode, summary in modes.items()]
    table.add_column("n sig/\ninsig", justify="right", overflow="fold")
    for name, mode, _ in summaries:
        table.add_column(label(name, mode), justify="right", overflow="fold")
    severities = [summary["severity"] for _, _, summary in summaries]
    for group, labels in (("by_type", TYPES), ("by_aspect", ASPECTS)):
        for one in labels:
            cells = [severity[group][one] for severity in severities]
            if cells[0]["found"]["n"]:
                table.add_row(one, _error_counts(cells[0]), *map(_severity_cell, cells))
        table.add_section()
    cells = [severity["all"] for severity in severities]
    table.add_row("all", _error_counts(cells[0]), *map(_severity_cell, cells))
    table.caption = "A judge that maps each type to one severity shows as 100/0 or 0/100."
    return table


def _error_counts(cell: Mapping[str, Any]) -> str:
    return f"{cell['found_significant']['n']}/{cell['found_insignificant']['n']}"


def _severity_cell(cell: Mapping[str, Any]) -> str:
    found, significant, insignificant = (
        _whole(cell[name]["percent"]) for name in ("found", "right_significant", "right_insignificant")
    )
    return f"{found}, {significant}/{insignificant}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
