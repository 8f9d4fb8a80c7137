"""From compare.json to tables. What is absent or null there has no table, or a dash."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reeval.page.breakdowns import breakdowns
from reeval.page.cells import UNKNOWN, Cell, Table, fixed, interval, label, name, p_value, plain, rate
from reeval.page.inputs import Column
from reeval.page.ordered import graded, humans

_BASELINES = {"always_flag": "always flag", "never_flag": "never flag", "random": "random"}
# Names of repairs. Other words may be an answer's own, as reasons of a failed parse may, which have no place here.
_REPAIR = re.compile(r"[a-z][a-z0-9 _-]{0,39}")
_MEASURES = {"balanced": "(D+R)/2", "harmonic": "harmonic", "bias": "D−R"}


def tables(compared: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Table]:
    """By key, those that have rows.

    Raises:
        ValueError: if what is there has another form than `reeval compare` gives it.
    """
    try:
        made = _all(compared, columns)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "compare.json: has another form than this version reads; run `reeval compare` again"
        ) from error
    return {table.key: table for table in made if table.rows}


def _all(compared: Mapping[str, Any], columns: Sequence[Column]) -> list[Table]:
    return [
        _scores(compared, columns),
        _without_identical(columns),
        _thresholds(columns),
        _calibration(columns),
        *_tests(compared),
        _two_pass(compared),
        *breakdowns(columns),
        *graded(compared.get("graded")),
        *humans(compared.get("humans")),
        _usage(columns),
        _reading(columns),
    ]


def _scores(compared: Mapping[str, Any], columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        s = column.summary
        if not s:
            continue
        rows.append(
            [
                name(column.label, column.kind),
                _with_ends(s, "D"),
                _with_ends(s, "R"),
                interval(s.get("balanced"), s.get("balanced_interval"), bar=True),
                interval(s.get("harmonic"), s.get("harmonic_interval")),
                interval(s.get("bias"), s.get("bias_interval")),
                interval(s.get("area"), s.get("area_interval"), digits=2),
                _failures(s),
            ]
        )
    for key, said in _BASELINES.items():
        b = (compared.get("baselines") or {}).get(key)
        if isinstance(b, Mapping):
            rates = [Cell(rate(b.get(k)).text) for k in ("D", "R")]
            rest = [Cell(fixed(b.get(k))) for k in _MEASURES]
            rows.append([name(said, "baseline"), *rates, *rest, Cell(UNKNOWN), Cell(UNKNOWN)])
    head = ["evaluator, mode", "D", "R", *_MEASURES.values(), "area", "not parsed"]
    note = (
        "Percent, each with its interval and number of pairs. D: of the pairs with a significant error, the share that "
        "is flagged. R: of the others, the share that is not. D−R above 0 over-flags, below 0 misses. Area, of 1: "
        "under the curve of D over R as the threshold of the probability or score moves. A pair whose answer could not "
        "be read counts as wrong; beneath its share stands (D+R)/2 with such pairs wrong, and right."
    )
    return Table("scores", "Discrimination and robustness", note, head, rows)


def _with_ends(s: Mapping[str, Any], key: str) -> Cell:
    """A rate with the clustered interval where there is one, else its own."""
    value, ends = s.get(key), s.get(f"{key}_interval")
    if not isinstance(value, Mapping) or not isinstance(ends, Sequence) or None in ends:
        return rate(value, bar=True)
    return interval(value.get("percent"), ends, bar=True, n=value.get("n"))


def _failures(s: Mapping[str, Any]) -> Cell:
    cell, best = rate(s.get("parse_failure_rate")), s.get("if_unparsable_were_right") or {}
    if cell.text == UNKNOWN:
        return cell
    if not s["parse_failure_rate"].get("right"):
        return Cell(f"{cell.text} %")
    return Cell(f"{cell.text} %", f"{fixed(s.get('balanced'))} to {fixed(best.get('balanced'))}")


def _without_identical(columns: Sequence[Column]) -> Table:
    rows = [
        [name(column.label), *(rate(column.summary.get(key), bar=True) for key in ("R", "R_without_identical"))]
        for column in columns
        if column.summary.get("R_without_identical")
    ]
    note = "A candidate that merely repeats the reference is easily let pass; the right column leaves such pairs out."
    head = ["evaluator, mode", "R", "R without identical pairs"]
    return Table("identical", "Robustness with and without identical pairs", note, head, rows)


def _thresholds(columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        found = column.entry.get("threshold")
        if isinstance(found, Mapping):
            of_folds = ", ".join(plain(one) for one in found.get("of_folds") or ())
            flattering = (found.get("in_sample") or {}).get("balanced")
            area = interval(found.get("auc"), found.get("auc_interval"), digits=3)
            ours = [fixed(column.summary.get("balanced")), fixed(flattering)]
            threshold = Cell(plain(found.get("threshold")), of_folds)
            rows.append([name(column.label), threshold, area, *map(Cell, ours)])
    note = (
        "A pair is flagged where its score lies below a threshold that was chosen on other reference reports, by "
        "cross-validation: beneath the threshold of all pairs stand those of the folds. In the last column the "
        "threshold is chosen on the pairs that it judges, which flatters."
    )
    head = ["metric", "threshold", "ROC AUC", "(D+R)/2", "(D+R)/2 in sample"]
    return Table("thresholds", "Thresholds of scalar metrics", note, head, rows)


def _calibration(columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        found = column.entry.get("calibration")
        if isinstance(found, Mapping):
            brier = interval(found.get("brier"), found.get("brier_interval"), digits=3)
            rest = [Cell(fixed(found.get(key), 3)) for key in ("brier_of_share", "ece")]
            rows.append([name(column.label), brier, *rest, Cell(plain(found.get("n")))])
    note = (
        "Brier score: the mean squared distance of the probability from the truth, 0 at best; beside it what the share "
        "of significant pairs, said of every pair, would have. ECE: how far probabilities lie from shares, in the mean."
    )
    head = ["evaluator, mode", "Brier score", "of the share", "ECE", "n"]
    return Table("calibration", "Calibration", note, head, rows)


def _tests(compared: Mapping[str, Any]) -> Iterable[Table]:
    paired, composites = [], []
    for test in compared.get("tests") or []:
        first, second = (label(*test[key]) for key in ("first", "second"))
        who = name(first, f"less {second}")
        paired.append([who, *_mcnemar(test.get("D")), *_mcnemar(test.get("R"))])
        composites.append([who, *(cell for key in _MEASURES for cell in _difference(test.get(key)))])
    yield Table(
        "tests",
        "Paired tests of D and R",
        "First less second, with its interval; how many pairs only the first and only the second judged rightly; p of "
        "McNemar's exact test, and beneath it p as adjusted by Holm over all tests of the measure in the mode.",
        ["evaluators", *["difference", "right alone", "p"] * 2],
        paired,
        [("", 1), ("D", 3), ("R", 3)],
    )
    yield Table(
        "composites",
        "Paired tests of the composites",
        "First less second, with its interval; p of a permutation test clustered by reference, beneath it by Holm.",
        ["evaluators", *["difference", "p"] * 3],
        composites,
        [("", 1), *((said, 2) for said in _MEASURES.values())],
    )


def _mcnemar(test: Any) -> list[Cell]:
    difference, p = _difference(test)
    alone = [plain((test or {}).get(key)) for key in ("only_first", "only_second")]
    return [difference, Cell(" : ".join(alone)), p]


def _difference(test: Any) -> list[Cell]:
    test = test or {}
    holm = f"Holm {p_value(test['p_holm'])}" if test.get("p_holm") is not None else ""
    cell = interval(test.get("difference"), [test.get("low"), test.get("high")])
    return [cell, Cell(p_value(test.get("p")), holm)]


def _two_pass(compared: Mapping[str, Any]) -> Table:
    rows = []
    for evaluator, traded in (compared.get("two_pass") or {}).items():
        traded = traded or {}
        differences = [_traded(traded.get(key)) for key in ("D", "R", "balanced", "bias")]
        ratios = [traded.get(f"{key}_ratio") for key in ("tokens", "seconds", "cost")]
        rows.append([name(evaluator), *differences, *(Cell(UNKNOWN if r is None else f"{r:.2f}×") for r in ratios)])
    note = (
        "Two-pass less one-pass of the same evaluator, with interval and p (adjusted by Holm over evaluators); and how "
        "many times the tokens, seconds and cost of one-pass it takes."
    )
    head = ["evaluator", "D", "R", "(D+R)/2", "D−R", "tokens", "seconds", "cost"]
    return Table("two-pass", "What two-pass trades", note, head, rows)


def _traded(value: Any) -> Cell:
    if not isinstance(value, Mapping):
        return Cell(fixed(value))
    cell = interval(value.get("difference"), [value.get("low"), value.get("high")])
    p = value.get("p_holm", value.get("p"))
    return Cell(cell.text, f"{cell.below}{', ' if cell.below else ''}p {p_value(p)}")


def _usage(columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        usage = column.entry.get("usage") or {}
        cells = [_mean(usage.get(key)) for key in ("input_tokens", "output_tokens", "seconds", "cost")]
        if any(cell.text != UNKNOWN for cell in cells):
            rows.append([name(column.label), *cells])
    note = (
        "Mean of a pair, over the pairs for which it is known; the total beneath. Cost in the currency of the prices."
    )
    head = ["evaluator, mode", "input tokens", "output tokens", "seconds", "cost"]
    return Table("usage", "Tokens, time and cost", note, head, rows)


def _mean(value: Any) -> Cell:
    if not isinstance(value, Mapping) or value.get("mean") is None:
        return Cell(UNKNOWN)
    return Cell(plain(value["mean"]), f"{plain(value.get('total'))} in all, n {plain(value.get('n'))}")


def _reading(columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        usage = column.entry.get("usage") or {}
        statuses, repairs = usage.get("parse_statuses") or {}, usage.get("repairs") or {}
        if not statuses:
            continue
        failed = sum(n for status, n in statuses.items() if status not in ("ok", "repaired"))
        counts = [statuses.get("ok", 0), statuses.get("repaired", 0), failed]
        how = "; ".join(f"{what.replace('_', ' ')} {n:,}" for what, n in repairs.items() if _REPAIR.fullmatch(what))
        rows.append([name(column.label), *(Cell(plain(n)) for n in counts), name(how or UNKNOWN)])
    note = "Answers that were read as they are, that a tolerant reader had to repair, and that no reader could read."
    head = ["evaluator, mode", "as they are", "repaired", "not parsed", "repairs"]
    return Table("reading", "How answers were read", note, head, rows)
