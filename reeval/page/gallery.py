"""The page's figures in their order, each with what it is and how it is read."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from reeval.page.figures import inline
from reeval.page.inputs import Column

# How a figure's file name begins -> what it is, and how it is read. In this order they stand.
_READINGS = {
    "dr_plane": (
        "The D-R plane",
        "Further up and to the right is better; an arrow leads from an evaluator's one-pass to its two-pass; on the "
        "falling diagonal lie judges that know nothing.",
    ),
    "dr_curves": (
        "D-R curves",
        "D and R at each threshold of the probability or score: a curve that lies outside of another is the better "
        "judge, a point further along the same curve only another threshold.",
    ),
    "reliability": (
        "Reliability",
        "On the diagonal a probability means what it says; below it the evaluator is too sure that a pair is "
        "significant, above it not sure enough.",
    ),
    "heatmap_": (
        "Aspect by type",
        "Each cell is one kind of error; read it beside its n, for a cell of few pairs may have any colour.",
    ),
}
_OTHER = "Axes and legend say what is drawn."


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """
    Attributes:
        name: fit for an id.
        svg: safe to stand in HTML.
        wide: whether it takes a row of its own.
    """

    name: str
    title: str
    reading: str
    svg: str
    wide: bool


def gallery(given: Mapping[str, str], columns: Sequence[Column]) -> list[Figure]:
    """Of SVG files by the names of their files.

    Raises:
        ValueError: if one is no SVG.
    """
    beginnings = [*_READINGS, ""]
    of_place = sorted(given, key=lambda name: next(i for i, start in enumerate(beginnings) if name.startswith(start)))
    labels = {f"{column.name}_{column.mode}": column.label for column in columns}
    made = []
    for file in of_place:
        start = next(start for start in beginnings if file.startswith(start))
        title, reading = _READINGS.get(start, (file.replace("_", " "), _OTHER))
        if label := labels.get(file.removeprefix(start)):
            title = f"{title}: {label}"
        name = re.sub(r"[^\w-]", "-", file)
        try:
            svg = inline(given[file], f"{name}-")
        except ValueError as error:
            raise ValueError(f"figures/{file}.svg: {error}") from None
        size = re.search(r'viewBox="\S+ \S+ ([\d.]+) ([\d.]+)"', svg)
        wide = start == "dr_plane" or (size is not None and float(size[1]) > 1.5 * float(size[2]))
        made.append(Figure(name, title, reading, svg, wide))
    return made
