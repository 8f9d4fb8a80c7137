"""Heat map of one evaluator: D, R and the accuracy of severity by aspect and type, each cell with its n."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reeval.study.style import DPI, FAINT, GREY, MODES, wrapped
from reeval.taxonomy import ASPECTS, TYPES

SMALL = 10
# From dark to light alone, so that it is read in grey, too.
_COLOURS = matplotlib.colormaps["cividis"]


def heatmap(name: str, mode: str, summary: Mapping[str, Any]) -> Figure | None:
    """None where no gold error has a place in the taxonomy, as where pairs have labels alone."""
    cells = [(aspect, kind) for aspect in ASPECTS for kind in TYPES]
    scores = summary["by_aspect_and_type"]
    panels: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {
        "D: significant pairs flagged": {c: scores["/".join(c)]["D"] for c in cells},
        "R: insignificant pairs not flagged": {c: scores["/".join(c)]["R"] for c in cells},
    }
    if summary["severity"] is not None:
        severity = summary["severity"]["by_aspect_and_type"]
        panels["severity right, of errors found"] = {c: severity["/".join(c)]["right"] for c in cells}
    if not any(rate["n"] for panel in panels.values() for rate in panel.values()):
        return None
    aspects = [a for a in ASPECTS if any(panel[a, kind]["n"] for panel in panels.values() for kind in TYPES)]
    figure = Figure(figsize=(2.2 + 2.7 * len(panels), 1.9 + 0.42 * len(aspects)), dpi=DPI, layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for one, (title, rates) in zip(axes, panels.items(), strict=True):
        _panel(one, title, aspects, rates)
    figure.suptitle(f"{wrapped(name, 60)}, {MODES[mode]}", fontsize=11, x=0.01, ha="left")
    shade = ScalarMappable(Normalize(0, 100), _COLOURS)
    bar = figure.colorbar(shade, ax=list(axes), shrink=0.6, aspect=25, pad=0.02)
    bar.set_label("%", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.supxlabel(
        f"% and, below it, n of pairs (of errors, for severity); hatched: n below {SMALL}; a dot: none",
        fontsize=8,
        color=GREY,
    )
    return figure


def _panel(axes: Axes, title: str, aspects: Sequence[str], rates: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    axes.set(xlim=(0, len(TYPES)), ylim=(len(aspects), 0))
    axes.set_title(title, fontsize=8.5, loc="left")
    axes.set_xticks(np.arange(len(TYPES)) + 0.5, TYPES, fontsize=8)
    axes.set_yticks(np.arange(len(aspects)) + 0.5, aspects, fontsize=8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row, aspect in enumerate(aspects):
        for column, kind in enumerate(TYPES):
            rate = rates[aspect, kind]
            if not rate["n"]:
                axes.text(column + 0.5, row + 0.5, "·", ha="center", va="center", color=GREY, fontsize=9)
                continue
            colour = _COLOURS(rate["percent"] / 100)
            ink = "white" if _dark(colour) else "black"
            few = rate["n"] < SMALL
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5))
            if few:
                axes.add_patch(
                    Rectangle((column, row), 1, 1, fill=False, hatch="////", edgecolor=FAINT, linewidth=0, alpha=0.6)
                )
            box = {"boxstyle": "round,pad=0.15", "facecolor": colour, "edgecolor": "none"} if few else None
            axes.text(
                column + 0.5, row + 0.5, f"{rate['percent']:.0f}\nn {rate['n']}", ha="center", va="center", color=ink,
                fontsize=7, linespacing=1.05, bbox=box,
            )  # fmt: skip


def _dark(colour: Sequence[float]) -> bool:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.52
