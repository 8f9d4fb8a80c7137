"""The figure of a judge: its D-R curves and operating points, one pass and two on the same axes.

R lies along x and D along y, both from 0 to 100 %, so that a better judge stands further up and to the right. Drawn
through matplotlib's objects alone: nothing of the process's own plotting is touched.
"""

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reeval.evaluate.report import Summary

# The one figure that is published with the paper, (D, R); its pairs are not those of this evaluation.
PUBLISHED = ("Lu et al. 2026: trained Qwen3-8B, two-pass, as published, on other pairs", (78.5, 70.5))
_COLOURS, _MARKERS = {"one_pass": "tab:blue", "two_pass": "tab:orange"}, {"one_pass": "o", "two_pass": "s"}
_DPI = 120


def draw(title: str, summaries: Mapping[str, Summary]) -> Figure:
    """The figure of one judge's summaries by mode. A mode without probabilities has its operating point alone."""
    figure = Figure(figsize=(6.4, 7.2), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for mode, summary in summaries.items():
        _mode(axes, mode, summary)
    label, (D, R) = PUBLISHED
    axes.plot([R], [D], "k*", markersize=11, label=f"{label} (D {D}, R {R})")
    axes.plot([0, 100], [100, 0], ":", color="grey", label="knows nothing: area 0.5")
    axes.plot([0], [100], "v", color="grey", clip_on=False, label="always flag (D 100, R 0)")
    axes.plot([100], [0], "^", color="grey", clip_on=False, label="never flag (D 0, R 100)")
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set_xlabel("R: share of insignificant pairs not flagged, %")
    axes.set_ylabel("D: share of significant pairs flagged, %")
    n = next(iter(summaries.values()))
    axes.set_title(f"{title}: {n['D']['n']} significant and {n['R']['n']} insignificant pairs", fontsize="medium")
    axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", fontsize="small", frameon=False)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    file = BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def pixels(figure: Figure) -> np.ndarray:
    """The figure as [height, width, 3] uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _mode(axes: Axes, mode: str, summary: Summary) -> None:
    name, colour = mode.replace("_", "-"), _COLOURS[mode]
    curve = summary["curve"]
    if curve is not None:
        low, high = summary["area_interval"]
        label = f"{name}: area {summary['area']:.3f} ({low:.3f}..{high:.3f})"
        # Beneath the points, which it may run through.
        axes.plot(curve["R"], curve["D"], color=colour, label=label, zorder=1.5, clip_on=False)
    D, R = summary["D"]["percent"], summary["R"]["percent"]
    if D is not None and R is not None:
        label = f"{name}, as decoded (D {D:.1f}, R {R:.1f})"
        axes.plot([R], [D], _MARKERS[mode], color=colour, markeredgecolor="black", label=label, clip_on=False)
