"""The page's tables of pairs with levels, and of evaluators beside people."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reeval.page.cells import UNKNOWN, Cell, Table, interval, label, name, plain, rate


def graded(found: Any) -> Iterable[Table]:
    """Of compare.json's `graded`."""
    found = found or {}
    rows = [
        [
            name(who, value),
            *(rate(said.get(key)) for key in ("concordant", "discordant", "tied", "unjudged", "in_order")),
            interval(said.get("tau_b"), said.get("tau_b_interval"), digits=2),
        ]
        for who, value, said in _each(found.get("evaluators"))
    ]
    note = (
        f"{plain(found.get('pairs'))} candidates of {plain(found.get('chains'))} references stand in an order from "
        "better to worse. Percent of the comparisons of two candidates of one reference that the evaluator orders "
        "rightly, wrongly, not at all, or did not judge; of the references of which all are in order; and Kendall's "
        "tau-b within references."
    )
    head = ["evaluator, mode", "right", "wrong", "tied", "not judged", "all in order", "tau-b"]
    yield Table("monotonicity", "Order of graded candidates", note, head, rows)


def humans(found: Any) -> Iterable[Table]:
    """Of compare.json's `humans`."""
    found = found or {}
    counts, labels = found.get("counts") or {}, found.get("labels") or {}
    rows = [
        [name(who, value), *(cell for side in ("significant", "all") for cell in _tau(said.get(side)))]
        for who, value, said in _each(counts.get("evaluators"))
    ]
    ceiling = counts.get("ceiling") or {}
    if rows and ceiling:
        ends = [_spread(ceiling.get(side), 2) for side in ("significant", "all")]
        rows.append([name("a rater", "ceiling"), ends[0], Cell(UNKNOWN), ends[1], Cell(UNKNOWN)])
    yield Table(
        "humans",
        "Beside people's counts of errors",
        f"Kendall's tau with the mean count of the raters, {plain(counts.get('pairs'))} pairs; intervals by a "
        "bootstrap of reference reports. The last row is the ceiling: the mean tau-b of a rater with the mean of the "
        "others, with the least and the greatest.",
        ["evaluator, mode", *["tau-b", "tau-c"] * 2],
        rows,
        [("", 1), ("significant errors", 2), ("all errors", 2)],
    )
    raters = [
        [name(rater), rate(said.get("D"), bar=True), rate(said.get("R"), bar=True), Cell(plain(said.get("split")))]
        for rater, said in (labels.get("each") or {}).items()
    ]
    if raters:
        raters.append([name("mean", "least to greatest"), _spread(labels.get("D")), _spread(labels.get("R")), Cell("")])
    kappas = [
        f"{' and '.join(map(str, pair.get('raters') or ()))} {interval(pair.get('kappa'), None, digits=2).text}"
        for pair in labels.get("cohen") or ()
    ]
    fleiss = interval((labels.get("fleiss") or {}).get("kappa"), None, digits=2).text
    yield Table(
        "raters",
        "How far people agree",
        "D and R of each rater where the majority of the others is taken as right; pairs on which the others are split "
        f"are left out. Fleiss' kappa {fleiss}; Cohen's kappa: {', '.join(kappas) or UNKNOWN}.",
        ["rater", "D", "R", "split"],
        raters,
    )


def _each(evaluators: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Evaluator and mode, which of its values, what is said of it."""
    for evaluator, modes in (evaluators or {}).items():
        for mode, values in (modes or {}).items():
            for value, said in (values or {}).items():
                yield label(evaluator, mode), f"by {value}", said or {}


def _tau(value: Any) -> list[Cell]:
    value = value or {}
    ends = [value.get("low"), value.get("high")]
    tau_c = interval(value.get("tau_c"), None, digits=2)
    return [interval(value.get("tau_b"), ends, digits=2, n=value.get("n")), tau_c]


def _spread(value: Any, digits: int = 1) -> Cell:
    value = value or {}
    return interval(value.get("mean"), [value.get("least"), value.get("greatest")], digits=digits)
