"""How the study's figures look: to be read in print, in grey, and by the colour-blind; and their files.

Colours are Okabe and Ito's without the yellow, which white paper swallows. No colour says anything alone: a marker, a
line or a letter says the same. The same figure gives the same bytes.
"""

import dataclasses
import textwrap
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
MODES = {"one_pass": "one-pass", "two_pass": "two-pass", "scalar": "scalar"}
LINES = {"one_pass": "-", "two_pass": (0, (5, 2)), "scalar": "-"}
FILLS = {"one_pass": "none", "two_pass": "full", "scalar": "left"}
GREY, FAINT = "#6b6b6b", "#d9d9d9"
DPI = 150


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """Of one evaluator, in every figure: no two have the same letter, and no two near ones colour and marker."""

    letter: str
    colour: str
    marker: str


def looks(names: list[str]) -> dict[str, Look]:
    return {name: Look(_letter(i), COLOURS[i % 7], MARKERS[i % 8]) for i, name in enumerate(names)}


def wrapped(text: str, width: int) -> str:
    """A name on as many lines as it needs; it may be broken anywhere."""
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=True)) or text


def marker(look: Look, mode: str, size: float = 7.5) -> dict[str, Any]:
    """Of a point, for `Axes.plot`."""
    return {
        "marker": look.marker,
        "color": look.colour,
        "fillstyle": FILLS[mode],
        "markerfacecoloralt": "white",
        "markersize": size,
        "markeredgecolor": look.colour,
        "markeredgewidth": size / 5.5,
        "linestyle": "none",
    }


def svg(figure: Figure) -> bytes:
    """The figure as an SVG file, its text as paths, so that it looks the same without the font."""
    file = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "reeval", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else f"{_letter(i // 26 - 1)}{_letter(i % 26)}"
