"""The figure of a judge, read back from matplotlib's objects."""

import io

import numpy as np
import pytest
from PIL import Image

from reeval.evaluate import figure


def summary(D, R, curve=None, area=None):
    return {
        "D": {"percent": D, "n": 12},
        "R": {"percent": R, "n": 8},
        "curve": curve,
        "area": area,
        "area_interval": [None if area is None else area - 0.1, None if area is None else area + 0.1],
    }


ONE = summary(80.0, 60.0, {"threshold": [None, 0.7, 0.2], "D": [0, 70, 100], "R": [100, 65, 5]}, 0.71)
TWO = summary(50.0, 90.0, {"threshold": [None, 0.5], "D": [0, 90], "R": [95, 0]}, 0.44)


def drawn(summaries):
    """Label -> its points as (x, y)."""
    (axes,) = figure.draw("tuned", summaries).axes
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.lines}, axes


def test_both_modes_stand_on_one_pair_of_axes_with_R_along_x():
    lines, axes = drawn({"one_pass": ONE, "two_pass": TWO})
    assert lines["one-pass: area 0.710 (0.610..0.810)"] == [(100, 0), (65, 70), (5, 100)]
    assert lines["two-pass: area 0.440 (0.340..0.540)"] == [(95, 0), (0, 90)]
    assert lines["one-pass, as decoded (D 80.0, R 60.0)"] == [(60, 80)]
    assert lines["two-pass, as decoded (D 50.0, R 90.0)"] == [(90, 50)]
    (published,) = [points for label, points in lines.items() if "as published" in label]
    assert published == [(70.5, 78.5)]
    assert lines["always flag (D 100, R 0)"] == [(0, 100)] and lines["never flag (D 0, R 100)"] == [(100, 0)]
    assert axes.get_xlabel().startswith("R") and axes.get_ylabel().startswith("D")
    assert axes.get_xlim() == axes.get_ylim() == (0, 100)
    assert "12 significant and 8 insignificant" in axes.get_title()
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(lines)


def test_what_is_unknown_is_not_drawn():
    lines, _ = drawn({"one_pass": summary(80.0, 60.0), "two_pass": summary(None, 90.0)})
    assert [label for label in lines if "pass" in label and "published" not in label] == [
        "one-pass, as decoded (D 80.0, R 60.0)"
    ]


def test_the_png_shows_the_pixels_and_is_the_same_each_time():
    made = {"one_pass": ONE, "two_pass": TWO}
    file = figure.png(figure.draw("tuned", made))
    assert file == figure.png(figure.draw("tuned", made))
    pixels = figure.pixels(figure.draw("tuned", made))
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file)).convert("RGB")), pixels)
    # Some of it is of each curve's colour.
    for colour in ((31, 119, 180), (255, 127, 14)):
        assert (pixels == colour).all(-1).sum() > 100


def test_nothing_of_the_process_own_plotting_is_touched():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure.pixels(figure.draw("tuned", {"one_pass": ONE}))
    assert pyplot.get_fignums() == []
