"""The tables of a comparison that a person reads on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from reeval.evaluate.printing import headed, label, one_decimal, put, with_ends
from reeval.study.style import MODES
from reeval.taxonomy import TYPES

Comparison = Mapping[str, Any]
_COMPOSITES = {"balanced": "(D+R)/2", "harmonic": "harmonic", "bias": "D-R"}
_BASELINES = {"always_flag": "always flag", "never_flag": "never flag", "random": "random"}
# Tests that are printed; compare.json has all.
_TESTS = 30


def show(comparison: Comparison, console: Console | None = None) -> None:
    """Print what there is to know; a file or a pipe gets plain lines, as wide as they need to be."""
    tables = [_usage(comparison)]
    if comparison["baselines"] is not None:
        tables = [_scores(comparison), *_severity(comparison), *tables, *_traded(comparison), *_tests(comparison)]
    put([*tables, *_graded(comparison), *_humans(comparison)], console)


def _each(comparison: Comparison) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name, one in comparison["evaluators"].items():
        for mode, of in one["modes"].items():
            yield name, mode, of


def _columns(table: Table, headers: Sequence[str]) -> Table:
    for header in headers:
        table.add_column(header, justify="right", overflow="fold")
    return table


def _scores(comparison: Comparison) -> Table:
    confidence = 100 * comparison["settings"]["confidence"]
    table = headed(f"Share of pairs judged rightly, in percent, with {confidence:g} % intervals over references")
    headers = [
        "D",
        "R",
        "R without\nidentical",
        *_COMPOSITES.values(),
        "parse\nfail",
        "D, R at\nbest",
        "area",
        "n of\nD, R",
    ]
    _columns(table, headers)
    for key, said in _BASELINES.items():
        of = comparison["baselines"][key]
        shares = [one_decimal(of[name]["percent"]) for name in ("D", "R", "R_without_identical")]
        shares += [one_decimal(of[name]) for name in _COMPOSITES]
        table.add_row(said, *shares, "-", "-", "-", f"{of['D']['n']}\n{of['R']['n']}")
    for name, mode, of in _each(comparison):
        summary = of["summary"]
        alone = summary["R_without_identical"]
        best = summary["if_unparsable_were_right"]
        area, ends = summary["area"], summary["area_interval"]
        table.add_row(
            label(name, mode),
            *(with_ends(summary[rate]["percent"], summary[f"{rate}_interval"]) for rate in ("D", "R")),
            with_ends(alone["percent"], [alone["low"], alone["high"]]),
            *(with_ends(summary[composite], summary[f"{composite}_interval"]) for composite in _COMPOSITES),
            one_decimal(summary["parse_failure_rate"]["percent"]),
            f"{one_decimal(best['D'])}\n{one_decimal(best['R'])}",
            "-" if area is None else f"{area:.3f}\n{ends[0]:.3f}..{ends[1]:.3f}",
            f"{summary['D']['n']}\n{summary['R']['n']}",
        )
    table.caption = (
        "What could not be parsed is wrong; at best it would be right. Area: under the D-R curve, of a scalar metric "
        "ROC AUC, whose verdicts are by thresholds that were chosen on other references."
    )
    return table


def _severity(comparison: Comparison) -> list[Table]:
    found = [(name, mode, of["summary"]["severity"]) for name, mode, of in _each(comparison)]
    known = [(name, mode, severity) for name, mode, severity in found if severity and severity["all"]["found"]["n"]]
    if not known:
        return []
    table = headed("Single errors: percent found / of those percent given the right severity (n of those)")
    _columns(table, [*TYPES, "all"])
    for name, mode, severity in known:
        cells = [*(severity["by_type"][kind] for kind in TYPES), severity["all"]]
        table.add_row(
            label(name, mode),
            *map(_found_and_right, cells),
        )
    return [table]


def _found_and_right(of: Mapping[str, Any]) -> str:
    return f"{one_decimal(of['found']['percent'])} / {one_decimal(of['right']['percent'])} ({of['right']['n']})"


def _usage(comparison: Comparison) -> Table:
    table = _columns(
        headed("What a pair takes, in the mean"),
        ["tokens\nin", "tokens\nout", "seconds", "cost", "repaired\npairs", "not\nparsed"],
    )
    for name, mode, of in _each(comparison):
        use = of["usage"]
        failed = sum(n for status, n in use["parse_statuses"].items() if status not in ("ok", "repaired"))
        means = [use[amount]["mean"] for amount in ("input_tokens", "output_tokens", "seconds", "cost")]
        shown = [
            "-" if mean is None else f"{mean:.{digits}f}" for mean, digits in zip(means, (0, 0, 2, 5), strict=True)
        ]
        table.add_row(label(name, mode), *shown, str(use["repaired_pairs"]), str(failed))
    return table


def _traded(comparison: Comparison) -> list[Table]:
    if not comparison["two_pass"]:
        return []
    table = headed(
        "What two-pass trades: two-pass less one-pass, in points, with p after Holm; and its use, times one-pass's"
    )
    _columns(table, ["D", "R", *_COMPOSITES.values(), "tokens", "seconds", "cost"])
    for name, of in comparison["two_pass"].items():
        ratios = [of[f"{what}_ratio"] for what in ("tokens", "seconds", "cost")]
        table.add_row(
            name,
            *(_difference(of[measure]) for measure in ("D", "R", *_COMPOSITES)),
            *("-" if ratio is None else f"x{ratio:.2f}" for ratio in ratios),
        )
    return [table]


def _tests(comparison: Comparison) -> list[Table]:
    tests = sorted(comparison["tests"], key=lambda test: (test["balanced"]["p_holm"], test["balanced"]["p"]))
    if not tests:
        return []
    table = headed("Evaluators against one another: first less second, in points, with p after Holm")
    _columns(table, ["in", "D", "R", *_COMPOSITES.values()])
    for test in tests[:_TESTS]:
        first, second = (f"{name}, {MODES[mode]}" for name, mode in (test["first"], test["second"]))
        cells = (_difference(test[measure]) for measure in ("D", "R", *_COMPOSITES))
        table.add_row(f"{first}\n- {second}", MODES[test["family"]], *cells)
    more = len(tests) - _TESTS
    table.caption = (
        "p: McNemar's exact test for D and R, swaps of references for the others; Holm's adjustment is over all tests "
        "of a measure in a mode." + (f" {more} tests with a higher p stand in compare.json." if more > 0 else "")
    )
    return [table]


def _graded(comparison: Comparison) -> list[Table]:
    graded = comparison["graded"]
    if graded is None:
        return []
    table = headed(
        f"Monotonicity over {graded['chains']} graded chains: percent of {graded['comparisons']} comparisons"
    )
    _columns(table, ["by", "concordant", "discordant", "tied", "not\njudged", "chains\nin order", "tau-b"])
    for name, modes in graded["evaluators"].items():
        for mode, values in modes.items():
            for value, of in values.items():
                table.add_row(
                    label(name, mode),
                    value,
                    *(_rate(of[kind]) for kind in ("concordant", "discordant", "tied", "unjudged", "in_order")),
                    _tau(of["tau_b"], of["tau_b_interval"]),
                )
    return [table]


def _humans(comparison: Comparison) -> list[Table]:
    counts = (comparison["humans"] or {}).get("counts")
    if counts is None:
        return []
    table = headed("Kendall's tau-b with the raters' mean number of errors")
    _columns(table, ["by", "significant\nerrors", "all errors", "n"])
    for name, modes in counts["evaluators"].items():
        for mode, values in modes.items():
            for value, of in values.items():
                cells = [
                    _tau(of[side]["tau_b"], [of[side]["low"], of[side]["high"]]) for side in ("significant", "all")
                ]
                table.add_row(label(name, mode), value, *cells, str(of["significant"]["n"]))
    table.add_section()
    table.add_row(
        "a rater",
        "the other\nraters' mean",
        *(_tau(of["mean"], [of["least"], of["greatest"]]) for of in counts["ceiling"].values()),
        str(counts["pairs"]),
    )
    table.caption = "The last row is the ceiling: the raters' mean, and below it the least and the greatest."
    return [table]


def _difference(of: Mapping[str, Any]) -> str:
    if of["difference"] is None:
        return "-"
    return f"{of['difference']:+.1f}\n{of['low']:+.1f}..{of['high']:+.1f}\np {_p(of['p_holm'])}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "<0.001"


def _rate(of: Mapping[str, Any]) -> str:
    return with_ends(of["percent"], [of["low"], of["high"]])


def _tau(tau: float | None, ends: Sequence[float | None]) -> str:
    if tau is None:
        return "-"
    low, high = ends
    return f"{tau:.2f}" + ("" if low is None or high is None else f"\n{low:.2f}..{high:.2f}")
