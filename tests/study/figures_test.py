"""The study's figures, read back from matplotlib's objects."""

import copy
import io
import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from study_example import SECRET

from reeval.evaluate.figure import pixels
from reeval.study.figures import figures
from reeval.study.heatmap import SMALL, heatmap
from reeval.study.panels import curves, reliability
from reeval.study.plane import plane
from reeval.study.style import COLOURS, looks, svg


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


def boxes(figure, kept):
    renderer = drawn(figure)
    found = figure.findobj(lambda one: isinstance(one, Text) and one.get_text().strip() and one.get_visible())
    return [(text.get_text(), text.get_window_extent(renderer)) for text in found if kept(text)]


def test_all_that_there_is_something_to_show_of(large):
    found = figures(large)
    modes = [(name, mode) for name, one in large["evaluators"].items() for mode in one["modes"]]
    assert list(found) == ["dr_plane", "dr_curves", "reliability", *(f"heatmap_{n}_{m}" for n, m in modes)]
    assert not any(SECRET in text for figure in found.values() for text in texts(figure))


def test_the_plane(large):
    # Without the one that guesses all stand in one part of it.
    large = {**large, "evaluators": {name: one for name, one in large["evaluators"].items() if name != "labels"}}
    figure = plane(large)
    main, small = figure.axes
    points = {
        (line.get_xdata()[0], line.get_ydata()[0], line.get_fillstyle())
        for line in main.lines
        if line.get_linestyle() == "None"
    }
    fills = {"one_pass": "none", "two_pass": "full", "scalar": "left"}
    for one in large["evaluators"].values():
        for mode, of in one["modes"].items():
            D, R = of["summary"]["D"]["percent"], of["summary"]["R"]["percent"]
            assert (R, D, fills[mode]) in points
            (low, high) = of["summary"]["D_interval"]
            assert any(np.array_equal(line.get_xydata(), [(R, low), (R, high)]) for line in main.lines)
    assert (70.5, 78.5, "full") in points  # the published one
    # An arrow leads from one-pass to two-pass.
    arrows = {(*text.xyann, *text.xy) for text in main.texts if getattr(text, "arrow_patch", None)}
    for one in large["evaluators"].values():
        if len(one["modes"]) == 2:
            ends = [(s["R"]["percent"], s["D"]["percent"]) for s in (m["summary"] for m in one["modes"].values())]
            near = np.hypot(*np.subtract(*ends)) < 3
            assert near or (*ends[0], *ends[1]) in arrows
    # Enlarged, beside the whole plane with the baselines.
    side = np.ptp(main.get_xlim())
    assert side == pytest.approx(np.ptp(main.get_ylim())) and side < 80 and np.ptp(small.get_xlim()) == 106
    assert {"always flag", "never flag"} <= {text.get_text() for text in small.texts}
    named = "\n".join(texts(figure))
    assert all(name in named.replace("-\n", "-") for name in large["evaluators"])


def test_no_letter_of_the_plane_covers_another(large):
    letters = {look.letter for look in looks(list(large["evaluators"])).values()}
    figure = plane(large)
    main = figure.axes[0]
    found = boxes(figure, lambda text: text.axes is main and text.get_text() in letters)
    assert len(found) == len(letters) == 13
    for (one, a), (other, b) in itertools.combinations(found, 2):
        assert not a.overlaps(b), (one, other)


@pytest.mark.parametrize("evaluators", [None, 1, 2])
@pytest.mark.parametrize("which", [plane, curves, reliability])
def test_no_title_or_label_covers_another_or_is_cut_off(large, which, evaluators):
    large = {**large, "evaluators": dict(list(large["evaluators"].items())[:evaluators])}
    figure = which(large)
    width, height = figure.canvas.get_width_height()
    # Without the numbers of ticks, of which those beyond the axes are not drawn.
    titles = [
        (said, box)
        for said, box in boxes(figure, lambda text: text.axes is None or text not in text.axes.texts)
        if not said.strip("−").replace(".", "").isdigit()
    ]
    assert len(titles) > 5
    for (one, a), (other, b) in itertools.combinations(titles, 2):
        assert not a.padded(-1).overlaps(b.padded(-1)), (one, other)
    for said, box in titles:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, said


def test_a_plane_of_points_far_apart_is_shown_whole(large):
    far = copy.deepcopy(large)
    far["evaluators"]["ours"]["modes"]["one_pass"]["summary"]["D"]["percent"] = 3.0
    (only,) = plane(far).axes
    assert only.get_xlim() == only.get_ylim() == (-3, 103)
    assert {"always flag", "never flag", "random"} <= {text.get_text() for text in only.texts}


def test_what_is_unknown_is_not_drawn(large):
    none = copy.deepcopy(large)
    for one in none["evaluators"].values():
        for of in one["modes"].values():
            of["summary"] = of["calibration"] = None
    assert figures(none) == {}


def test_panels(large):
    figure = curves(large)
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 8 + 3
    for axes in shown:
        assert axes.get_xlim() == axes.get_ylim() == (0, 100)
    summary = large["evaluators"]["bleu"]["modes"]["scalar"]["summary"]
    (bleu,) = [axes for axes in shown if " bleu\n" in axes.get_title(loc="left")]
    assert f"AUC {summary['area']:.3f}" in bleu.get_title(loc="left")
    assert any(list(line.get_xdata()) == summary["curve"]["R"] for line in bleu.lines)
    figure = reliability(large)
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 8
    calibration = large["evaluators"]["ours"]["modes"]["two_pass"]["calibration"]
    (ours,) = [axes for axes in shown if " ours\n" in axes.get_title(loc="left")]
    assert f"two-pass: Brier {calibration['brier']:.3f}" in ours.get_title(loc="left")
    expected = [one["significant"]["percent"] / 100 for one in calibration["bins"]]
    assert any(list(line.get_ydata()) == expected for line in ours.lines)


def test_cells(large):
    summary = large["evaluators"]["ours"]["modes"]["one_pass"]["summary"]
    figure = heatmap("ours", "one_pass", summary)
    D, _, severity, _ = figure.axes
    rows = [label.get_text() for label in D.get_yticklabels()]
    types = [label.get_text() for label in D.get_xticklabels()]
    for axes, cells in (
        (D, {key: cell["D"] for key, cell in summary["by_aspect_and_type"].items()}),
        (severity, {key: cell["right"] for key, cell in summary["severity"]["by_aspect_and_type"].items()}),
    ):
        said = {(text.get_position()): text.get_text() for text in axes.texts}
        hatched = [patch.get_xy() for patch in axes.patches if patch.get_hatch()]
        for row, aspect in enumerate(rows):
            for column, kind in enumerate(types):
                rate = cells[f"{aspect}/{kind}"]
                expected = f"{rate['percent']:.0f}\nn {rate['n']}" if rate["n"] else "·"
                assert said[column + 0.5, row + 0.5] == expected
                assert ((column, row) in hatched) == (0 < rate["n"] < SMALL)
    assert len(heatmap("bleu", "scalar", large["evaluators"]["bleu"]["modes"]["scalar"]["summary"]).axes) == 3


def test_files_are_the_same_each_time_and_touch_no_plotting_of_others(large):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    one, other = plane(large), plane(large)
    assert svg(one) == svg(other) and b"<svg" in svg(one)
    np.testing.assert_array_equal(pixels(one), pixels(other))
    assert pyplot.get_fignums() == [] and pyplot.rcParams["svg.hashsalt"] is None
    for secret in (b"date", b"Matplotlib v"):
        assert secret not in svg(one)


def test_looks_differ_in_grey_too():
    found = looks([f"e{i}" for i in range(40)])
    assert len({look.letter for look in found.values()}) == 40
    assert len({(look.colour, look.marker) for look in found.values()}) == 40
    assert "#F0E442" not in COLOURS
    image = Image.open(io.BytesIO(b"P6 1 1 255\n" + bytes.fromhex(COLOURS[0][1:]))).convert("L")
    assert image.getpixel((0, 0)) < 200  # dark enough on white
