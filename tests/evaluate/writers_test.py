import io
import json
import stat

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reeval.evaluate import report, writers
from reeval.pairs import Error, Pair, error_to_json

ERRORS = (
    Error("inaccuracy", "laterality", "right", "left", "significant"),
    Error("omission", "device", "a PICC line", "", "insignificant"),
    Error("omission", "finding", "A nodule.", "", "significant"),
)
PAIRS = [
    Pair(f"{reference}-{kind}", f"r{reference}", "right a PICC line A nodule.", "left", errors)
    for reference in range(4)
    for kind, errors in enumerate((ERRORS[:1], ERRORS[1:2], ERRORS[2:], (), ERRORS))
]
# The judge sees all but nodules, and calls all that it sees significant; one output cannot be parsed.
ROWS = [
    {
        "pair_id": pair.pair_id,
        "mode": "one_pass",
        "errors": [{**error_to_json(e), "severity": "significant"} for e in pair.errors if e.aspect != "finding"],
        "significant": any(e.aspect != "finding" for e in pair.errors) if pair.pair_id != "0-3" else None,
        "probability": len(pair.errors) / 4 if pair.pair_id != "0-3" else None,
        "gold": pair.significant,
    }
    for pair in PAIRS
]


@pytest.fixture(scope="module")
def summaries():
    two = [{**row, "mode": "two_pass"} for row in ROWS]
    return {"one_pass": report.summarise(ROWS, PAIRS), "two_pass": report.summarise(two, PAIRS)}


def test_results_are_whole_or_absent(tmp_path, summaries):
    path = tmp_path / "results.json"
    writers.write_results(path, {"base": summaries})
    assert json.loads(path.read_text()) == {"base": summaries}
    with pytest.raises(ValueError):
        writers.write_results(path, {"base": float("nan")})
    assert json.loads(path.read_text()) == {"base": summaries}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
    assert not stat.S_IMODE(path.stat().st_mode) & 0o077


def test_tensorboard_reads_back_what_was_written(tmp_path, summaries):
    # Two steps in one second, as a quick evaluation of base and tuned may come.
    for step in (0, 125):
        writers.write_tensorboard(tmp_path, "tuned", summaries, step)
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    tags = set(events.Tags()["scalars"])
    for mode, summary in summaries.items():
        expected = report.scalars(summary)
        assert {tag.removeprefix(f"eval/{mode}/") for tag in tags if f"/{mode}/" in tag} == set(expected)
        for name, value in expected.items():
            read = events.Scalars(f"eval/{mode}/{name}")
            assert [event.step for event in read] == [0, 125]
            assert [event.value for event in read] == pytest.approx([value, value], rel=1e-6)
    images = events.Images("eval/dr_curve")
    assert [image.step for image in images] == [0, 125]
    assert images[0].encoded_image_string.startswith(b"\x89PNG") and images[0].height > images[0].width > 300
    assert {"eval/one_pass/area", "eval/one_pass/area_low"} <= tags
    assert {"eval/one_pass/D", "eval/two_pass/R_without_identical", "eval/one_pass/bias_low"} <= tags


def test_the_figure_is_a_png(tmp_path, summaries):
    path = tmp_path / "dr_curve.png"
    writers.write_figure(path, "base", summaries)
    assert path.read_bytes().startswith(b"\x89PNG")


def printed(judges, **options):
    out = io.StringIO()
    writers.print_table(judges, Console(file=out, **options))
    return out.getvalue()


def test_plain_lines_hold_every_row_and_fit_80_columns(summaries):
    text = printed({"base": summaries, "tuned": summaries})
    assert "\x1b" not in text and "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    upper, lower = text.split("Single errors")
    upper, areas = upper.split("Area under the D-R curve")
    rows = [line.split()[0] for line in upper.splitlines() if line.strip()]
    assert [r for r in rows if r in {"always", "never", "base", "tuned"}] == [
        "always", "never", "base", "base", "tuned", "tuned",
    ]  # fmt: skip
    assert upper.count("one-pass") == upper.count("two-pass") == 2
    D = summaries["one_pass"]["D"]
    assert f"{D['low']:.1f}..{D['high']:.1f}" in upper
    area, (low, high) = summaries["one_pass"]["area"], summaries["one_pass"]["area_interval"]
    assert f"tuned one-pass {area:.3f} ({low:.3f}..{high:.3f})" in areas
    for label in ("omission", "inaccuracy", "laterality", "device", "finding", "all"):
        assert f"\n{label} " in lower or f"\n {label} " in lower, label
    assert "recommendation" not in lower  # no error of this aspect in the pairs


def test_what_needs_more_than_80_columns_gets_them(summaries):
    name = "a judge with a long name"
    text = printed({name: summaries, "tuned": summaries})
    assert text.count(name) == 2 + 2 + 2 and "…" not in text


def test_a_narrow_terminal_folds_and_loses_nothing(summaries):
    text = printed({"base": summaries}, width=50, force_terminal=True, color_system=None)
    assert "…" not in text
    wide = printed({"base": summaries})
    kept = [sorted("".join(t.split())) for t in (text, wide)]
    assert [c for c in kept[0] if c.isdigit()] == [c for c in kept[1] if c.isdigit()]


def test_pairs_with_labels_alone_have_no_table_of_severities():
    label = {True: "significant", False: "insignificant"}
    graded = [Pair(p.pair_id, p.reference_id, p.reference, p.candidate, label=label[p.significant]) for p in PAIRS]
    out = io.StringIO()
    free = [{**row, "probability": None} for row in ROWS]
    writers.print_table({"base": {"one_pass": report.summarise(free, graded)}}, Console(file=out))
    assert "Area" not in out.getvalue()
    assert "Share of pairs" in out.getvalue() and "Single errors" not in out.getvalue()
