"""The D-R plane: where each evaluator stands, and what its second pass trades.

R lies along x and D along y: better is further up and to the right, and along the falling diagonal D + R is 100, as of
one that knows nothing. An open marker is one-pass, a full one two-pass, a half one a scalar metric; an arrow leads
from one-pass to two-pass. Thin lines are intervals. Where the evaluators stand together, the part of the plane that
they share is enlarged, and the whole plane stands small beside it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from reeval.evaluate.figure import PUBLISHED
from reeval.study.style import DPI, GREY, MODES, Look, looks, marker, wrapped

Point = tuple[float, float]
Modes = Mapping[str, Any]
_WHOLE = (-3.0, 103.0)
# A part of the plane that is wider than this is not worth enlarging.
_WIDE = 75.0
_NAME_WIDTH = 42
# In inches.
_WIDTH, _MAIN, _SMALL, _LEFT, _TOP, _GAP, _BOTTOM, _LINE = 11.4, 6.5, 2.5, 0.75, 0.45, 0.95, 0.35, 0.145


def plane(comparison: Mapping[str, Any]) -> Figure | None:
    """None where no evaluator has both a D and an R."""
    points: dict[str, Modes] = {
        name: {mode: of["summary"] for mode, of in one["modes"].items() if _known(of["summary"])}
        for name, one in comparison["evaluators"].items()
    }
    if not any(points.values()):
        return None
    styles = looks(list(points))
    handles = [_entry(name, modes, styles[name]) for name, modes in points.items() if modes]
    x_lim, y_lim = _part([_at(summary) for modes in points.values() for summary in modes.values()])
    enlarged = (x_lim, y_lim) != (_WHOLE, _WHOLE)
    beneath = _GAP + (_SMALL if enlarged else 1.3) + _BOTTOM
    listed = sum(_LINE * (1 + str(line.get_label()).count("\n")) + 0.09 for line in handles) + 0.9
    height = max(_TOP + _MAIN + beneath, listed)
    bottom = height - _TOP - _MAIN  # of the main axes
    figure = Figure(figsize=(_WIDTH, height), dpi=DPI)

    def axes_at(left: float, bottom: float, side: float) -> Axes:
        axes = figure.add_axes((left / _WIDTH, bottom / height, side / _WIDTH, side / height))
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.plot([0, 100], [100, 0], ":", color=GREY, linewidth=1, zorder=1)
        return axes

    axes = axes_at(_LEFT, bottom, _MAIN)
    axes.set(xlim=x_lim, ylim=y_lim)
    axes.set_xlabel("R: share of insignificant pairs not flagged, %")
    axes.set_ylabel("D: share of significant pairs flagged, %")
    n = comparison["pairs"]
    axes.set_title(
        f"{n['significant']} significant and {n['insignificant']} insignificant pairs", fontsize=10, loc="left"
    )
    for name, modes in points.items():
        _evaluator(axes, modes, styles[name])
    _landmarks(axes)
    _tags(axes, points, styles)
    if enlarged:
        small = axes_at(_LEFT, bottom - _GAP - _SMALL, _SMALL)
        small.set(xlim=_WHOLE, ylim=_WHOLE)
        small.tick_params(labelsize=7)
        small.set_title("the whole plane, and in a frame the part above", fontsize=8, loc="left")
        for name, modes in points.items():
            for mode, summary in modes.items():
                small.plot(*([value] for value in _at(summary)), **marker(styles[name], mode, 3.5))
        _landmarks(small, size=0.6)
        frame = Rectangle((x_lim[0], y_lim[0]), x_lim[1] - x_lim[0], y_lim[1] - y_lim[0], fill=False, linewidth=0.9)
        small.add_patch(frame)
    shared: dict[str, Any] = {
        "fontsize": 8,
        "frameon": False,
        "handletextpad": 0.6,
        "alignment": "left",
        "borderaxespad": 0.0,
    }
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=((_LEFT + _MAIN + 0.3) / _WIDTH, 1 - 0.2 / height),
        title="evaluator: D / R, %",
        title_fontsize=9,
        labelspacing=0.7,
        **shared,
    )
    figure.legend(
        handles=_key(comparison["settings"]["confidence"]),
        loc="upper left",
        bbox_to_anchor=((_LEFT + (_SMALL + 0.45 if enlarged else 0)) / _WIDTH, (bottom - _GAP) / height),
        **shared,
    )
    return figure


def _part(points: Sequence[Point]) -> tuple[Point, Point]:
    """The limits of x and of y: a square about the points and the published one, or the whole plane."""
    _, (D, R) = PUBLISHED
    spans = [(min(values), max(values)) for values in zip((R, D), *points, strict=True)]
    side = max(30.0, *(high - low + 14 for low, high in spans))
    if side > _WIDE:
        return _WHOLE, _WHOLE
    starts = [min(max((low + high - side) / 2, _WHOLE[0]), _WHOLE[1] - side) for low, high in spans]
    (x, y) = starts
    return (x, x + side), (y, y + side)


def _known(summary: Mapping[str, Any] | None) -> bool:
    return summary is not None and None not in (summary["D"]["percent"], summary["R"]["percent"])


def _at(summary: Mapping[str, Any]) -> Point:
    return summary["R"]["percent"], summary["D"]["percent"]


def _evaluator(axes: Axes, modes: Mapping[str, Any], look: Look) -> None:
    for mode, summary in modes.items():
        x, y = _at(summary)
        axes.plot(summary["R_interval"], [y, y], color=look.colour, linewidth=0.9, alpha=0.4, zorder=2)
        axes.plot([x, x], summary["D_interval"], color=look.colour, linewidth=0.9, alpha=0.4, zorder=2)
        axes.plot([x], [y], **marker(look, mode), zorder=4, clip_on=False)
    if {"one_pass", "two_pass"} <= set(modes):
        tail, head = _at(modes["one_pass"]), _at(modes["two_pass"])
        if math.dist(tail, head) > 2.5 * _unit(axes):
            axes.annotate(
                "",
                head,
                tail,
                arrowprops={
                    "arrowstyle": "-|>,head_width=0.22,head_length=0.45",
                    "color": look.colour,
                    "linewidth": 1.4,
                    "shrinkA": 4,
                    "shrinkB": 4,
                },
                zorder=3,
            )


def _landmarks(axes: Axes, size: float = 1.0) -> None:
    for x, y, said, side in (
        (0, 100, "always flag", "left"),
        (100, 0, "never flag", "right"),
        (50, 50, "random", "left"),
    ):
        if all(low <= v <= high for v, (low, high) in zip((x, y), (axes.get_xlim(), axes.get_ylim()), strict=True)):
            axes.plot([x], [y], "x", color=GREY, markersize=6 * size, zorder=2)
            shift = (1.8 if side == "left" else -1.8) / size
            if said != "random" or size == 1:  # where it would be covered
                axes.text(x + shift, y, said, color=GREY, fontsize=4 + 4 * size, ha=side, va="center")
    _, (D, R) = PUBLISHED
    star: dict[str, Any] = {"markersize": 13 * size, "markeredgecolor": "white", "markeredgewidth": 0.8 * size}
    axes.plot([R], [D], "*", color="black", zorder=5, **star)


def _tags(axes: Axes, points: Mapping[str, Mapping[str, Any]], styles: Mapping[str, Look]) -> None:
    """A letter beside each evaluator's last mode, where it covers least."""
    all_points = [_at(summary) for modes in points.values() for summary in modes.values()]
    _, (D, R) = PUBLISHED
    obstacles = [*all_points, (R, D), (0.0, 100.0), (100.0, 0.0), (50.0, 50.0)]
    arrows = [
        (_at(modes["one_pass"]), _at(modes["two_pass"]))
        for modes in points.values()
        if {"one_pass", "two_pass"} <= set(modes)
    ]
    placed: list[Point] = []
    for name, modes in points.items():
        if not modes:
            continue
        here = _at(list(modes.values())[-1])
        spot = _spot(here, obstacles, arrows, placed, axes)
        placed.append(spot)
        look = styles[name]
        if math.dist(here, spot) > 4 * _unit(axes):
            axes.plot(*zip(here, spot, strict=True), color=look.colour, linewidth=0.6, zorder=3)
        axes.text(
            *spot, look.letter, color=look.colour, fontsize=9.5, fontweight="bold", ha="center", va="center", zorder=6,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )  # fmt: skip


def _spot(
    here: Point, obstacles: Sequence[Point], arrows: Sequence[tuple[Point, Point]], placed: Sequence[Point], axes: Axes
) -> Point:
    """Of the places around a point the one that covers the fewest things; of equal ones the nearest."""
    unit = _unit(axes)

    def cost(spot: Point) -> float:
        covered: float = sum(math.dist(spot, other) < 3.0 * unit for other in obstacles)
        covered += sum(3 * (math.dist(spot, other) < 3.6 * unit) for other in placed)
        covered += sum(0.5 * (_distance(spot, arrow) < 1.6 * unit) for arrow in arrows)
        limits = zip(spot, (axes.get_xlim(), axes.get_ylim()), strict=True)
        outside = any(not low + 1.5 * unit <= value <= high - 1.5 * unit for value, (low, high) in limits)
        return covered + 10 * outside + math.dist(here, spot) / (20 * unit)

    around = [
        (here[0] + r * unit * math.cos(a), here[1] + r * unit * math.sin(a))
        for r, a in itertools.product((3.2, 5, 7, 9.5, 12), [math.pi / 4 + k * math.pi / 8 for k in range(16)])
    ]
    return min(around, key=cost)


def _unit(axes: Axes) -> float:
    """Of the axes, what one hundredth of the whole plane would be in its place."""
    low, high = axes.get_xlim()
    return (high - low) / (_WHOLE[1] - _WHOLE[0])


def _distance(point: Point, segment: tuple[Point, Point]) -> float:
    (ax, ay), (bx, by) = segment
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = 0.0 if not length else ((point[0] - ax) * (bx - ax) + (point[1] - ay) * (by - ay)) / length
    along = min(max(along, 0.0), 1.0)
    return math.dist(point, (ax + along * (bx - ax), ay + along * (by - ay)))


def _entry(name: str, modes: Mapping[str, Any], look: Look) -> Line2D:
    said = {mode: f"{s['D']['percent']:.1f} / {s['R']['percent']:.1f}" for mode, s in modes.items()}
    figures = "  →  ".join(f"{MODES[mode]} {value}" for mode, value in said.items())
    mode = list(modes)[-1]
    return Line2D([], [], label=f"{look.letter}  {wrapped(name, _NAME_WIDTH)}\n{figures}", **marker(look, mode))


def _key(confidence: float) -> list[Line2D]:
    plain = Look("", GREY, "o")
    said = {"one_pass": "one-pass: open", "two_pass": "two-pass: full", "scalar": "scalar metric, out of fold: half"}
    shown = [Line2D([], [], label=label, **marker(plain, mode)) for mode, label in said.items()]
    label, (D, R) = PUBLISHED
    return [
        *shown,
        Line2D([], [], color=GREY, linewidth=0.9, alpha=0.6, label=f"interval, {100 * confidence:g} %"),
        Line2D([], [], color="black", marker="*", markersize=11, linestyle="none",
               label=f"{wrapped(label, _NAME_WIDTH)}\n{D} / {R}"),
        Line2D([], [], color=GREY, linestyle=":", label="knows nothing: D + R = 100"),
    ]  # fmt: skip
