"""compare.json, figures, TensorBoard and the tables of a terminal."""

import io
import json
import stat

import pytest
from rich.console import Console
from study_example import KINDS, SECRET, made, signatures
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reeval.study import tables, writers
from reeval.study.compare import compare


@pytest.fixture(scope="module")
def comparison():
    pairs, judged = made(6)
    return compare(pairs, judged, kinds=KINDS, signatures=signatures(judged), resamples=99, permutations=99)


@pytest.fixture(scope="module")
def written(tmp_path_factory, comparison):
    directory = tmp_path_factory.mktemp("study")
    (directory / "figures").mkdir()
    (directory / "figures" / "heatmap_gone_one_pass.png").write_bytes(b"old")
    writers.write(directory, comparison)
    return directory


def contents(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_files(written, comparison):
    assert json.loads((written / "compare.json").read_text()) == comparison
    names = {path.name for path in (written / "figures").iterdir()}
    figures = ("dr_plane", "dr_curves", "reliability", "heatmap_judge_one_pass", "heatmap_bleu_scalar")
    assert {f"{name}.{kind}" for name in figures for kind in ("png", "svg")} <= names
    assert "heatmap_gone_one_pass.png" not in names
    for name, content in contents(written / "figures").items():
        assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    assert not stat.S_IMODE((written / "compare.json").stat().st_mode) & 0o077


def test_no_file_holds_report_text(written):
    for name, content in contents(written).items():
        assert SECRET.encode() not in content and b"basilar" not in content, name


def test_again_gives_the_same_and_no_second_series(written, comparison):
    before = contents(written)
    writers.write(written, comparison)
    after = contents(written)
    assert [name for name in before if name.startswith("events") is False and before[name] != after[name]] == []
    assert sum(name.startswith("events") for name in after) == 1


def test_tensorboard_reads_back_what_was_written(written, comparison):
    events = EventAccumulator(str(written / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    expected = writers.scalars(comparison)
    assert set(events.Tags()["scalars"]) == {f"study/{name}" for name in expected}
    for name in ("judge/one_pass/D", "bleu/scalar/balanced_low", "judge/two_pass_trades/R"):
        assert events.Scalars(f"study/{name}")[0].value == pytest.approx(expected[name], rel=1e-6)
    assert events.Images("study/dr_plane")[0].encoded_image_string.startswith(b"\x89PNG")


def test_scalars(comparison):
    flat = writers.scalars(comparison)
    one = comparison["evaluators"]["judge"]["modes"]["one_pass"]
    assert flat["judge/one_pass/D"] == one["summary"]["D"]["percent"]
    # The intervals of references, not Wilson's.
    wider = 0
    for name in ("judge", "green", "labels"):
        summary = comparison["evaluators"][name]["modes"]["one_pass"]["summary"]
        for rate in ("D", "R"):
            ends = [flat[f"{name}/one_pass/{rate}_{end}"] for end in ("low", "high")]
            assert ends == summary[f"{rate}_interval"]
            wider += ends != [summary[rate]["low"], summary[rate]["high"]]
    assert wider
    assert flat["judge/one_pass/by_length/1/R"] == one["summary"]["by_length"][0]["R"]["percent"]
    assert flat["judge/one_pass/usage/cost"] == 0.001 and "green/one_pass/usage/cost" not in flat
    assert flat["judge/one_pass/calibration/ece"] == one["calibration"]["ece"]
    assert flat["judge/two_pass_trades/tokens_ratio"] == pytest.approx(1080 / 550)
    assert "bleu/scalar/humans/score_tau_b" in flat and "judge/one_pass/graded/significant_errors_tau_b" in flat
    assert not any("severity" in name for name in flat if name.startswith("bleu"))


def printed(comparison, **options):
    out = io.StringIO()
    tables.show(comparison, Console(file=out, **options))
    return out.getvalue()


def test_tables(comparison):
    text = printed(comparison)
    assert "\x1b" not in text and "…" not in text and SECRET not in text
    D, R = (comparison["evaluators"]["judge"]["modes"]["one_pass"]["summary"][f"{name}_interval"] for name in "DR")
    scores = text.split("Single errors")[0]
    assert all(f"{end:.1f}".removesuffix(".0") in scores for end in (*D, *R))
    for said in ("always flag", "never flag", "random", "judge", "green", "labels", "bleu", "out", "Monotonicity",
                 "What a pair takes", "What two-pass trades", "Kendall's tau-b", "x1.96", "a rater"):  # fmt: skip
        assert said in text, said
    assert text.count("- bleu, scalar") == 4


def test_a_narrow_terminal_loses_no_figure(comparison):
    narrow = printed(comparison, width=60, force_terminal=True, color_system=None)
    assert "…" not in narrow and max(map(len, narrow.splitlines())) <= 60


def test_many_tests_are_not_all_printed(large):
    text = printed(large)
    assert len(large["tests"]) > 100
    assert "tests with a higher p stand in compare.json" in " ".join(text.split())


def test_without_graded_pairs(comparison):
    none = {**comparison, "baselines": None, "tests": [], "two_pass": {}, "humans": None}
    none["evaluators"] = {
        name: {
            "kind": one["kind"],
            "modes": {mode: {**of, "summary": None, "calibration": None} for mode, of in one["modes"].items()},
        }
        for name, one in comparison["evaluators"].items()
    }
    text = printed(none)
    assert "Share of pairs" not in text and "Monotonicity" in text and "What a pair takes" in text
    assert "judge/one_pass/D" not in writers.scalars(none)
