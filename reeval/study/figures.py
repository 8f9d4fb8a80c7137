"""All figures of a comparison, by the name of their file."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from reeval.study.heatmap import heatmap
from reeval.study.panels import curves, reliability
from reeval.study.plane import plane


def figures(comparison: Mapping[str, Any]) -> dict[str, Figure]:
    """ "dr_plane", "dr_curves", "reliability" and "heatmap_NAME_MODE": those for which there is something to show."""
    found = {"dr_plane": plane(comparison), "dr_curves": curves(comparison), "reliability": reliability(comparison)}
    for name, one in comparison["evaluators"].items():
        for mode, of in one["modes"].items():
            if of["summary"] is not None:
                found[f"heatmap_{name}_{mode}"] = heatmap(name, mode, of["summary"])
    return {name: figure for name, figure in found.items() if figure is not None}
