"""Figures with a panel an evaluator: the D-R curve, and whether probabilities mean what they say.

In each panel one-pass is a solid line with open markers, two-pass a broken one with full markers.
"""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reeval.study.style import DPI, FAINT, GREY, LINES, MODES, Look, looks, marker, wrapped

Modes = Mapping[str, Mapping[str, Any]]
_ACROSS = 4


def curves(comparison: Mapping[str, Any]) -> Figure | None:
    """The D-R curves over the threshold of probabilities or scores; the others' stand behind in grey."""
    known = _with(comparison, lambda of: of["summary"] is not None and of["summary"]["curve"] is not None)

    def panel(axes: Axes, name: str, modes: Modes, look: Look) -> list[str]:
        for other, theirs in known.items():
            for of in theirs.values() if other != name else ():
                axes.plot(
                    of["summary"]["curve"]["R"], of["summary"]["curve"]["D"], color=FAINT, linewidth=0.7, zorder=1
                )
        axes.plot([0, 100], [100, 0], ":", color=GREY, linewidth=0.9, zorder=1)
        said = []
        for mode, of in modes.items():
            summary = of["summary"]
            curve, (low, high) = summary["curve"], summary["area_interval"]
            axes.plot(curve["R"], curve["D"], linestyle=LINES[mode], color=look.colour, linewidth=1.6, zorder=3)
            axes.plot(
                [summary["R"]["percent"]], [summary["D"]["percent"]], **marker(look, mode), zorder=4, clip_on=False
            )
            what = "AUC" if mode == "scalar" else f"{MODES[mode]}: area"
            said.append(f"{what} {summary['area']:.3f} ({low:.3f} to {high:.3f})")
        axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
        return said

    others = [Line2D([], [], color=FAINT, label="the other evaluators")] if sum(map(bool, known.values())) > 1 else []
    return _grid(
        known,
        panel,
        "R, %",
        "D, %",
        "D-R curves: D and R at each threshold; the marker is where the evaluator stands",
        [*others, Line2D([], [], color=GREY, linestyle=":", label="knows nothing: area 0.5")],
    )


def reliability(comparison: Mapping[str, Any]) -> Figure | None:
    """Of the pairs given about one probability, the share that is significant; bins of equally many pairs."""
    known = _with(comparison, lambda of: of["calibration"] is not None)

    def panel(axes: Axes, name: str, modes: Modes, look: Look) -> list[str]:
        axes.plot([0, 1], [0, 1], ":", color=GREY, linewidth=0.9, zorder=1)
        said = []
        for mode, of in modes.items():
            calibration = of["calibration"]
            bins = calibration["bins"]
            x = [one["mean"] for one in bins]
            y, low, high = ([one["significant"][name] / 100 for one in bins] for name in ("percent", "low", "high"))
            for at, ends in zip(x, zip(low, high, strict=True), strict=True):
                axes.plot([at, at], ends, color=look.colour, linewidth=0.9, alpha=0.45, zorder=2)
            line = marker(look, mode, 4.5) | {"linestyle": LINES[mode], "linewidth": 1.3}
            axes.plot(x, y, **line, zorder=3, clip_on=False)
            said.append(f"{MODES[mode]}: Brier {calibration['brier']:.3f}, ECE {calibration['ece']:.3f}")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        return said

    return _grid(
        known,
        panel,
        "mean probability of a bin",
        "share significant",
        f"Reliability: bins of equally many pairs, with {100 * comparison['settings']['confidence']:g} % intervals",
        [Line2D([], [], color=GREY, linestyle=":", label="as said, so it is")],
    )


def _with(comparison: Mapping[str, Any], known: Callable[[Mapping[str, Any]], bool]) -> dict[str, Modes]:
    found: dict[str, Modes] = {
        name: {mode: of for mode, of in one["modes"].items() if known(of)}
        for name, one in comparison["evaluators"].items()
    }
    return found


def _grid(
    known: Mapping[str, Modes],
    panel: Callable[[Axes, str, Modes, Look], list[str]],
    x: str,
    y: str,
    title: str,
    more: list[Line2D],
) -> Figure | None:
    styles = looks(list(known))  # of all, for an evaluator to look the same in each figure
    shown = {name: modes for name, modes in known.items() if modes}
    if not shown:
        return None
    across = min(_ACROSS, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(max(4.6, 3.1 * across), 0.8 + 3.5 * down), dpi=DPI, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    for axes, (name, modes) in zip(grid, shown.items(), strict=False):
        look = styles[name]
        said = panel(axes, name, modes, look)
        axes.set_title("\n".join([f"{look.letter}  {wrapped(name, 32)}", *said]), fontsize=7.5, loc="left")
        axes.set_xlabel(x, fontsize=8)
        axes.set_ylabel(y, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25, linewidth=0.6)
    figure.suptitle(wrapped(title, 24 + 26 * across), fontsize=10, x=0.01, ha="left")
    used = [mode for mode in MODES if any(mode in modes for modes in shown.values())]
    plain = Look("", GREY, "o")
    handles = [
        Line2D([], [], label=MODES[mode], **(marker(plain, mode, 5) | {"linestyle": LINES[mode]})) for mode in used
    ]
    entries = [*handles, *more]
    columns = len(entries) if across > 2 else across + 1  # as many as there is room for
    figure.legend(handles=entries, loc="outside lower left", ncols=columns, fontsize=8, frameon=False)
    return figure
