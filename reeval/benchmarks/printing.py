"""The report of `reeval pairs check` for people. Counts and ids, never report text."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from reeval.taxonomy import ASPECTS, TYPES

_IDS = 5


def print_report(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the report; a file or a pipe gets plain lines, as wide as they need to be."""
    # No markup: ids and paths may hold brackets.
    console = console or Console(markup=False, highlight=False)
    for title, table, caption in _tables(report):
        if not console.is_terminal:
            # Without a terminal rich assumes 80 columns and would squeeze what is wider.
            wanted = console.measure(table, options=console.options.update(max_width=1000)).maximum
            console = Console(file=console.file, width=max(80, wanted), markup=False, highlight=False)
        console.print(title, style="italic", soft_wrap=True)
        console.print(table)
        console.print(f"{caption}\n", style="dim", soft_wrap=True)


def _tables(report: Mapping[str, Any]) -> Iterator[tuple[str, Table, str]]:
    yield "Pairs", _overview(report), "Words: least, quartiles, greatest."
    if report["errors"]:
        title = "Errors, significant/insignificant, and the percentage that is significant"
        yield title, _cells(report), "The type and aspect of an error should not give its severity away."
    if "balanced_accuracy" in report:
        figures = {name: f"{figure:.1f}" for name, figure in report["balanced_accuracy"].items()}
        title = "Balanced accuracy of trivial classifiers in percent; 50 is chance"
        yield title, _rows(figures), "5-fold cross-validation, the pairs of one reference together."
    if "overlap" in report:
        found = report["overlap"]
        title = (
            f"References of {found['against']}, {found['benchmark_references']} in all, that stand in this file, too"
        )
        yield title, _overlap(found), f"Near-duplicate: {found['near_duplicate_rule']}."


def _overview(report: Mapping[str, Any]) -> Table:
    labels, words = report["labels"], report["words"]
    return _rows(
        {
            "pairs": report["pairs"],
            "references": report["references"],
            "different reference texts": report["reference_texts"],
            "significant": labels["significant"],
            "insignificant": labels["insignificant"],
            "without errors and label": labels["unlabelled"],
            "with a label alone": report["label_only"],
            "errors": report["errors"],
            **{f"pairs with {n} error{'s' * (n != '1')}": count for n, count in report["errors_per_pair"].items()},
            **{f"pairs of level {level}": count for level, count in report["levels"].items()},
            "words of a reference": _range(words["reference"]),
            "words of a candidate": _range(words["candidate"]),
            "candidate repeats reference": report["candidate_repeats_reference"],
            "same texts as an earlier pair": report["exact_duplicates"],
            "problems": len(report["problems"]),
        }
    )


def _range(quartiles: list[int]) -> str:
    return " ".join(map(str, quartiles)) or "-"


def _cells(report: Mapping[str, Any]) -> Table:
    table = Table(box=SIMPLE)
    table.add_column("")
    for header in (*TYPES, "all"):
        table.add_column(header, justify="right")
    for aspect in ASPECTS:
        cells = [report["by_aspect_and_type"][f"{aspect}/{kind}"] for kind in TYPES]
        table.add_row(aspect, *map(_cell, [*cells, report["by_aspect"][aspect]]))
    table.add_section()
    kinds = [report["by_type"][kind] for kind in TYPES]
    whole = {severity: sum(kind[severity] for kind in kinds) for severity in kinds[0]}
    table.add_row("all", *map(_cell, [*kinds, whole]))
    return table


def _cell(counts: Mapping[str, int]) -> str:
    n = sum(counts.values())
    if not n:
        return "-"
    return f"{counts['significant']}/{counts['insignificant']} {100 * counts['significant'] / n:4.0f}%"


def _overlap(found: Mapping[str, Any]) -> Table:
    table = Table(box=SIMPLE, show_header=False)
    near = [entry["benchmark"] for entry in found["near_duplicates"]]
    for name, ids in (("same id", found["shared_ids"]), ("same text", found["same_texts"]), ("near-duplicate", near)):
        table.add_row(name, str(len(ids)), ", ".join(ids[:_IDS]) + (", ..." if ids[_IDS:] else ""))
    return table


def _rows(values: Mapping[str, object]) -> Table:
    table = Table(box=SIMPLE, show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in values.items():
        table.add_row(name, str(value))
    return table
