"""From compare.json to tables. What is absent or null there has no table, or a dash."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reeval.page.cells import UNKNOWN, Cell, Table, fixed, interval, name, p_value, plain, rate
from reeval.page.inputs import Column

_BASELINES = {"always_flag": "always flag", "never_flag": "never flag", "random": "random"}


def tables(compared: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Table]:
    """By key, those that have rows."""
    made = [
        _scores(compared, columns),
        _without_identical(columns),
        *_tests(compared),
        _two_pass(compared),
        _usage(columns),
        _reading(columns),
        *(_breakdown(columns, *what) for what in _BREAKDOWNS),
        *(_severity(columns, *what) for what in _SEVERITIES),
    ]
    return {table.key: table for table in made if table.rows}


def _scores(compared: Mapping[str, Any], columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        s = _summary(column)
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
    for key, label in _BASELINES.items():
        b = (compared.get("baselines") or {}).get(key)
        if isinstance(b, Mapping):
            rates = [Cell(rate(b.get(k)).text) for k in ("D", "R")]
            rest = [Cell(fixed(b.get(k))) for k in ("balanced", "harmonic", "bias")]
            rows.append([name(label, "baseline"), *rates, *rest, Cell(UNKNOWN), Cell(UNKNOWN)])
    head = ["evaluator, mode", "D", "R", "(D+R)/2", "harmonic", "D−R", "area", "not parsed"]
    note = (
        "Percent, each with its interval and number of pairs. D: of the pairs with a significant error, the share that "
        "is flagged. R: of the others, the share that is not. D−R above 0 over-flags, below 0 misses. Area, of 1: under "
        "the curve of D over R as the threshold of the probability moves. A pair whose answer could not be read counts "
        "as wrong; beneath its share stands (D+R)/2 with such pairs wrong, and right."
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
    failed = (s.get("parse_failure_rate") or {}).get("right")
    if not failed:
        return Cell(f"{cell.text} %" if cell.text != UNKNOWN else UNKNOWN)
    return Cell(f"{cell.text} %", f"{fixed(s.get('balanced'))} to {fixed(best.get('balanced'))}")


def _without_identical(columns: Sequence[Column]) -> Table:
    rows = [
        [name(c.label), rate(_summary(c).get("R"), bar=True), rate(_summary(c).get("R_without_identical"), bar=True)]
        for c in columns
        if _summary(c).get("R_without_identical")
    ]
    note = "A candidate that merely repeats the reference is easily let pass; the right column leaves such pairs out."
    head = ["evaluator, mode", "R", "R without identical pairs"]
    return Table("identical", "Robustness without identical pairs", note, head, rows)


def _tests(compared: Mapping[str, Any]) -> Iterable[Table]:
    tests = compared.get("tests") or []
    paired, composites = [], []
    for test in tests:
        first, second = (_label(*test[key]) for key in ("first", "second"))
        who = name(first, f"against {second}")
        counts = [_mcnemar(test.get(key)) for key in ("D", "R")]
        paired.append([who, *counts[0], *counts[1]])
        composites.append([who, *(cell for key in ("balanced", "harmonic", "bias") for cell in _difference(test.get(key)))])
    yield Table(
        "tests",
        "Paired tests of D and R",
        "Pairs that only one of the two judged rightly, and the p of McNemar's exact test; pₕ is adjusted over all "
        "comparisons by Holm's method.",
        ["pair of evaluators", *["first", "second", "p", "pₕ"] * 2],
        paired,
        [("", 1), ("D: right in one alone", 4), ("R: right in one alone", 4)],
    )
    yield Table(
        "composites",
        "Paired tests of the composites",
        "First minus second, with its interval; p of a permutation test clustered by reference report, pₕ by Holm.",
        ["pair of evaluators", *["difference", "p", "pₕ"] * 3],
        composites,
        [("", 1), ("(D+R)/2", 3), ("harmonic", 3), ("D−R", 3)],
    )


def _mcnemar(test: Any) -> list[Cell]:
    test = test or {}
    counts = [Cell(plain(test.get(key))) for key in ("only_first", "only_second")]
    return [*counts, *(Cell(p_value(test.get(key))) for key in ("p", "p_holm"))]


def _difference(test: Any) -> list[Cell]:
    test = test or {}
    cell = interval(test.get("difference"), [test.get("low"), test.get("high")])
    return [cell, *(Cell(p_value(test.get(key))) for key in ("p", "p_holm"))]


def _two_pass(compared: Mapping[str, Any]) -> Table:
    rows = []
    for evaluator, traded in (compared.get("two_pass") or {}).items():
        differences = [_traded((traded or {}).get(key)) for key in ("D", "R", "balanced", "bias")]
        ratios = [(traded or {}).get(f"{key}_ratio") for key in ("tokens", "seconds", "cost")]
        rows.append([name(evaluator), *differences, *(Cell(UNKNOWN if r is None else f"{r:.2f}×") for r in ratios)])
    note = (
        "Two-pass minus one-pass of the same evaluator, with interval and p; and how many times the tokens, seconds and "
        "cost it takes."
    )
    head = ["evaluator", "D", "R", "(D+R)/2", "D−R", "tokens", "seconds", "cost"]
    return Table("two-pass", "What two-pass trades", note, head, rows)


def _traded(value: Any) -> Cell:
    if not isinstance(value, Mapping):
        return Cell(fixed(value))
    cell = interval(value.get("difference"), [value.get("low"), value.get("high")])
    return Cell(cell.text, f"{cell.below}{', ' if cell.below else ''}p {p_value(value.get('p'))}")


def _usage(columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        usage = column.entry.get("usage") or {}
        cells = [_mean(usage.get(key)) for key in ("input_tokens", "output_tokens", "seconds", "cost")]
        if any(cell.text != UNKNOWN for cell in cells):
            rows.append([name(column.label), *cells])
    note = "Mean of a pair, over the pairs for which it is known; the total beneath."
    head = ["evaluator, mode", "input tokens", "output tokens", "seconds", "cost"]
    return Table("usage", "Tokens, time and cost", note, head, rows)


def _mean(value: Any) -> Cell:
    if not isinstance(value, Mapping):
        return Cell(plain(value))
    mean = next((value[key] for key in ("mean", "per_pair", "value") if value.get(key) is not None), None)
    if mean is None:
        return Cell(UNKNOWN)
    total = "" if value.get("total") is None else f"{plain(value['total'])} in all"
    return Cell(plain(mean), ", ".join(filter(None, [total, f"n {value.get('n')}" if value.get("n") else ""])))


def _reading(columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        usage = column.entry.get("usage") or {}
        statuses, repairs = usage.get("parse_statuses") or {}, usage.get("repairs") or {}
        if not statuses:
            continue
        failed = sum(n for status, n in statuses.items() if status not in ("ok", "repaired"))
        counts = [statuses.get("ok", 0), usage.get("repaired_pairs", statuses.get("repaired", 0)), failed]
        # Names that are no names may be an answer's own words.
        helped = [f"{repair.replace('_', ' ')} {n}" for repair, n in repairs.items() if repair.isidentifier()]
        rows.append([name(column.label), *(Cell(plain(n)) for n in counts), name("; ".join(helped) or UNKNOWN)])
    note = "Answers that were read as they are, that a tolerant reader had to repair (and how), and that no reader could."
    head = ["evaluator, mode", "as they are", "repaired", "not parsed", "repairs"]
    return Table("reading", "How answers were read", note, head, rows)


_GROUP_NOTE = (
    "D over the pairs with a significant error of the group, R over the insignificant pairs with any error of it; "
    "beneath, the interval and n."
)
_BREAKDOWNS = (
    ("by_aspect", "By aspect", _GROUP_NOTE),
    ("by_type", "By type of error", _GROUP_NOTE),
    ("by_length", "By length of the reports", "D and R over the pairs of each range of length; beneath, the interval and n."),
)


def _breakdown(columns: Sequence[Column], key: str, title: str, note: str) -> Table:
    found = [(c, _summary(c)[key]) for c in columns if isinstance(_summary(c).get(key), Mapping)]
    labels = dict.fromkeys(label for _, groups in found for label in groups)
    rows = [
        [name(label), *(rate((groups.get(label) or {}).get(rate_of)) for _, groups in found for rate_of in ("D", "R"))]
        for label in labels
    ]
    rows = [row for row in rows if any(cell.text != UNKNOWN for cell in row[1:])]
    groups = [("", 1), *((column.label, 2) for column, _ in found)]
    return Table(key.replace("_", "-"), title, note, ["", *["D", "R"] * len(found)], rows, groups)


_SEVERITIES = (
    ("by_type", "Severity of single errors, by type"),
    ("by_aspect", "Severity of single errors, by aspect"),
)


def _severity(columns: Sequence[Column], key: str, title: str) -> Table:
    severities = [(c, _summary(c).get("severity") or {}) for c in columns if c.mode != "scalar"]
    found = [(column, severity[key], severity.get("all")) for column, severity in severities if severity.get(key)]
    labels = dict.fromkeys(label for _, groups, _ in found for label in groups)
    wanted = ("found", "right_significant", "right_insignificant")
    rows = []
    for label in [*labels, *(["all"] if any(everything for *_, everything in found) else [])]:
        scores = [(everything if label == "all" else groups.get(label)) or {} for _, groups, everything in found]
        rows.append([name(label), *(rate(each.get(which)) for each in scores for which in wanted)])
    rows = [row for row in rows if any(cell.text != UNKNOWN for cell in row[1:])]
    note = (
        "Of the gold errors: the share that was found, and of those found the share graded rightly, apart for "
        "significant (sig.) and insignificant (insig.) ones. An evaluator that maps each type to one severity shows as "
        "100 and 0."
    )
    groups = [("", 1), *((column.label, 3) for column, *_ in found)]
    head = ["", *["found", "sig.", "insig."] * len(found)]
    return Table(f"severity-{key.replace('_', '-')}", title, note, head, rows if found else [], groups)


def _summary(column: Column) -> Mapping[str, Any]:
    return column.entry.get("summary") or {}


def _label(evaluator: str, mode: str) -> str:
    return evaluator if mode == "scalar" else f"{evaluator}, {mode.replace('_', '-')}"
