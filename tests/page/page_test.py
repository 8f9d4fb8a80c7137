"""The page's bytes: what is in them, what must never be, and what is refused."""

import json
import os
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import small_study
import study_example
from small_study import HOSTILE, SECRET

from reeval import cli
from reeval.metrics.threshold import cross_validated
from reeval.page import figures
from reeval.page.gallery import gallery
from reeval.page.inputs import Column, Inputs, load
from reeval.page.records import records, script_json, verdicts
from reeval.page.render import html
from reeval.study.compare import compare
from reeval.study.figures import figures as figures_of
from reeval.study.style import svg

FIGURE = """<?xml version="1.0"?><!DOCTYPE svg>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" width="9pt" viewBox="0 0 9 9"
 onload="x()">
 <metadata><rdf xmlns="http://purl.org/dc">2026 somebody</rdf></metadata>
 <defs><style type="text/css">*{fill: red}</style>
 <path id="m1" d="M0 0" style="stroke: #000; stroke-width: 0.8; behavior: x"/></defs>
 <script>alert(1)</script><foreignObject><b>bold</b></foreignObject>
 <g id="axes_1" clip-path="url(#p1)" style="fill: url(http://example.org/x)"><use xlink:href="#m1" x="1"/>
 <use xlink:href="http://example.org/y"/>
 <text style="font: 12px 'DejaVu Sans', sans-serif; text-anchor: middle">D &lt; R</text></g>
</svg>"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = small_study.write(tmp_path_factory.mktemp("page") / "study")
    (directory / "figures").mkdir()
    (directory / "figures" / "dr_plane.svg").write_text(FIGURE)
    return directory


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    made = Path(shutil.copytree(study, tmp_path / "copy"))
    (made / "study.json").write_text(json.dumps({"pairs": {"path": str(made / "pairs.jsonl")}}))
    return made


def report(study: Path, out: Path, *flags: str) -> str:
    assert cli.main(["report", f"--workdir={study}", f"--out={out}", *flags]) == 0
    return out.read_text(encoding="utf-8")


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_without_the_flag_no_word_of_a_report_is_in_the_file(study, tmp_path, capsys):
    page = report(study, tmp_path / "page.html")
    assert SECRET not in page and "onerror" not in page and SECRET not in capsys.readouterr().out
    data = data_of(page)
    assert [len(pair) for pair in data["pairs"]] == [7] * 24
    # What stays: ids, cells of the taxonomy with severities, verdicts, probabilities.
    assert data["pairs"][0][:2] == ["p00000", "s0"] and "p00023" in page
    ours = data["pairs"][1][5][0]
    assert ours[:4] == [0, 0.11, None, "ok"] and ours[4] == data["pairs"][1][4] != []
    assert data["pairs"][4][5][2][3] == "not parsed"
    other = data["pairs"][0][5][2][4][1]  # of an aspect and a type that are not the taxonomy's
    assert other == ((len(data["aspects"]) - 1) * len(data["types"]) + len(data["types"]) - 1) * 3 + 1
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_with_the_flag_text_is_data_alone_and_its_owner_s(study, tmp_path):
    page = report(study, tmp_path / "page.html", "--with-text")
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    before, data, after = re.fullmatch(r"(.*id=\"data\">)(.*?)(</script>.*)", page, re.DOTALL).groups()
    assert SECRET not in before + after
    assert not set("<>&\u2028") & set(data)
    pair = data_of(page)["pairs"][4]
    assert pair[7].startswith(HOSTILE) and pair[4][0][3] == HOSTILE
    assert pair[5][2][3] == f"{SECRET} is no verdict" and pair[5][2][6] == [HOSTILE]
    assert "This file holds the text of reports." in page


def test_half_a_surrogate_of_an_answer_is_no_obstacle():
    assert json.loads(script_json(["\ud800</script>"])) == ["\ud800</script>"]
    assert script_json(["\ud800</script>"]).encode()


@pytest.mark.parametrize("flags", [[], ["--with-text"]])
def test_the_file_asks_for_nothing(study, tmp_path, flags):
    page = report(study, tmp_path / "page.html", *flags)
    shell = page.replace(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1], "")
    assert "http:" not in shell and "https:" not in shell and "//example" not in shell and "@import" not in shell
    assert set(re.findall(r'(?:src|href)="([^"#]*)', shell)) <= {"", "data:,"}
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-") and "unsafe" not in policy


def test_the_script_makes_no_markup_of_data(study):
    script = (Path(figures.__file__).parent / "page.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", script
    )


def test_hostile_names_are_escaped(copy, tmp_path):
    compared = json.loads((copy / "compare.json").read_text())
    compared["evaluators"]["ours"]["kind"] = compared["settings"]["note"] = compared["reeval"] = "<b onclick=x>"
    (copy / "compare.json").write_text(json.dumps(compared))
    page = report(copy, tmp_path / "page.html")
    assert "<b onclick" not in page and page.count("&lt;b onclick") >= 3 and "ours|one_pass|&lt;v1&gt;" in page


def test_what_is_null_or_absent_has_no_place(copy, tmp_path):
    compared = json.loads((copy / "compare.json").read_text())
    for key in ("baselines", "tests", "two_pass", "graded", "humans", "settings"):
        compared[key] = None
    for evaluator in compared["evaluators"].values():
        for mode in evaluator["modes"]:
            evaluator["modes"][mode] = {
                "signature": None,
                "summary": None,
                "usage": None,
                "calibration": None,
                "threshold": None,
            }
    (copy / "compare.json").write_text(json.dumps(compared))
    shutil.rmtree(copy / "figures")
    page = report(copy, tmp_path / "page.html")
    assert 'id="results"' not in page and 'id="figures"' not in page and 'id="pairs"' in page


def test_the_tables_hold_the_figures(study):
    page = html(load(study, ""), with_text=False)
    summary = json.loads((study / "compare.json").read_text())["evaluators"]["ours"]["modes"]["one_pass"]["summary"]
    row = re.search(r'<th scope="row">ours, one-pass<small>judge</small></th>(.*?)</tr>', page, re.DOTALL)[1]
    values = re.findall(r'class="value">([^<]*)<', row)
    shown = [
        summary[key] if key in ("balanced", "harmonic", "bias") else summary[key]["percent"]
        for key in ("D", "R", "balanced", "harmonic", "bias")
    ]
    assert values[:5] == [f"{value:.1f}".replace("-", "−") for value in shown]
    low, high = summary["balanced_interval"]
    assert f"{low:.1f}".removesuffix(".0") in row and f"n {summary['D']['n']}" in row and high >= low


def test_levels_and_people_have_their_tables(tmp_path):
    given, judged = study_example.made()
    kinds, signatures = study_example.kinds(judged), study_example.signatures(judged)
    compared = compare(given, judged, kinds=kinds, signatures=signatures, resamples=20, permutations=20)
    columns = [
        Column(name, mode, kinds[name], compared["evaluators"][name]["modes"][mode], found)
        for name, modes in judged.items()
        for mode, found in modes.items()
    ]
    page = html(Inputs(compared, given, columns, {}), with_text=False)
    assert study_example.SECRET not in page
    shown = re.findall(r'<section class="table" id="table-([^"]*)"', page)
    wanted = ["scores", "tests", "composites", "two-pass", "identical", "by-type", "severity-by-type", "by-aspect"]
    wanted += ["severity-by-aspect", "by-length", "calibration", "thresholds", "monotonicity", "humans", "raters"]
    assert shown == [*wanted, "usage", "reading"]
    tau = compared["humans"]["counts"]["evaluators"]["judge"]["one_pass"]["significant errors"]["significant"]["tau_b"]
    row = re.search(
        r'<th scope="row">judge, one-pass<small>by significant errors</small></th>(.*?)</tr>',
        page[page.index('id="table-humans"') :],
    )[1]
    assert re.findall(r'class="value">([^<]*)<', row)[0] == f"{tau:.2f}"


def test_a_scalar_metric_is_judged_by_the_thresholds_of_the_comparison(study):
    inputs = load(study, "")
    bleu = next(column for column in inputs.columns if column.name == "bleu")
    gold = np.array([pair.significant for pair in inputs.pairs])
    scores = np.array([judgement.score for judgement in bleu.judged])
    expected = cross_validated(gold, scores, np.array([pair.reference_id for pair in inputs.pairs]), seed=0).judged
    assert verdicts(inputs.pairs, bleu, 0) == expected.tolist() and set(expected) == {0, 1}
    rows = records(inputs.pairs, [bleu], with_text=False)["pairs"]
    assert [row[5][0][0] for row in rows] == expected.tolist()


def test_a_figure_keeps_its_drawing_and_nothing_else():
    kept = figures.inline(FIGURE, "plane-")
    for gone in (
        "script",
        "foreignObject",
        "metadata",
        "somebody",
        "http",
        "onload",
        "style",
        "behavior",
        "red",
        "9pt",
    ):
        assert gone not in kept
    assert 'id="plane-m1"' in kept and 'href="#plane-m1"' in kept and 'clip-path="url(#plane-p1)"' in kept
    assert 'stroke-width="0.8"' in kept and 'font-size="12px"' in kept and 'text-anchor="middle"' in kept
    assert "D &lt; R" in kept and 'viewBox="0 0 9 9"' in kept


def edit(path: Path, **change: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


OURS = "judgements/ours/one_pass.jsonl"
BROKEN = {
    "no compare.json": (lambda d: (d / "compare.json").unlink(), "no such file; run `reeval compare` first"),
    "cut compare.json": (lambda d: (d / "compare.json").write_text('{"evaluators": {'), "compare.json: no JSON object"),
    "other json": (lambda d: (d / "compare.json").write_text("[]"), "compare.json: no JSON object"),
    "no evaluators": (lambda d: edit(d / "compare.json", evaluators=None), "names no evaluators"),
    "evaluators are none": (lambda d: edit(d / "compare.json", evaluators={"ours": 1}), "names no evaluators"),
    "another form": (lambda d: edit(d / "compare.json", tests=[1]), "compare.json: has another form"),
    "no study.json": (lambda d: (d / "study.json").unlink(), "give them with --pairs=FILE"),
    "pairs gone": (lambda d: (d / "pairs.jsonl").unlink(), "pairs.jsonl: no such pair file"),
    "other pairs": (lambda d: edit_line(d / "pairs.jsonl", reference_id="s99"), "not the pairs that were compared"),
    "other pair judged": (lambda d: edit_line(d / OURS, pair_id="p9"), "has no judgement of pair 'p00000'"),
    "one more judged": (lambda d: add_line(d / OURS, pair_id="p9"), "judges pair 'p9'"),
    "no judgements": (lambda d: shutil.rmtree(d / "judgements/theirs"), "theirs/one_pass.jsonl: no such file"),
    "no judgement": (lambda d: (d / OURS).write_text("{"), "one_pass.jsonl:1: is not JSON"),
    "no figure": (
        lambda d: (d / "figures/dr_plane.svg").write_text("<svg"),
        "figures/dr_plane.svg: no SVG that can be read",
    ),
}


def edit_line(path: Path, **change: object) -> None:
    first, *rest = path.read_text().split("\n")
    path.write_text("\n".join([json.dumps(json.loads(first) | change), *rest]))


def add_line(path: Path, **change: object) -> None:
    path.write_text(path.read_text() + json.dumps(json.loads(path.read_text().split("\n")[0]) | change))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_study_gives_one_line(copy, tmp_path, capsys, name):
    break_it, message = BROKEN[name]
    break_it(copy)
    assert cli.main(["report", f"--workdir={copy}", f"--out={tmp_path / 'page.html'}", "--with-text"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and SECRET not in said
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir={study}"], "flag --out is missing"),
        (["--out={tmp}/a.html"], "flag --workdir is missing"),
        (["--workdir={tmp}/nowhere", "--out={tmp}/a.html"], "nowhere: no such directory"),
        (["--workdir={study}", "--out={tmp}"], "is a directory"),
        (["--workdir={study}", "--out={tmp}/no/a.html"], "there is no directory"),
        (["--workdir={study}", "--out={tmp}/a.html", "--pairs={tmp}/none.jsonl"], "none.jsonl: no such pair file"),
        (["--workdir={study}", "--out={tmp}/a.html", "--with-txt"], "with_txt"),
    ],
)
def test_bad_flags_give_one_line(study, tmp_path, capsys, arguments, message):
    assert cli.main(["report", *(a.format(study=study, tmp=tmp_path) for a in arguments)]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_an_existing_file_is_replaced_whole_and_keeps_no_wider_rights(study, tmp_path):
    out = tmp_path / "page.html"
    out.write_text("old")
    out.chmod(0o644)
    page = report(study, out, "--with-text", f"--pairs={study / 'pairs.jsonl'}")
    assert page.startswith("<!doctype html>") and stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_figures_stand_in_order_and_say_how_they_are_read(study):
    columns = load(study, "").columns
    names = ["other one", "heatmap_ours_two_pass", "reliability", "dr_curves", "dr_plane"]
    made = gallery(dict.fromkeys(names, FIGURE), columns)
    titles = ["The D-R plane", "D-R curves", "Reliability", "Aspect by type: ours, two-pass", "other one"]
    assert [figure.title for figure in made] == titles
    assert all(figure.reading.endswith(".") for figure in made) and made[-1].name == "other-one"
    assert 'id="other-one-m1"' in made[-1].svg and not made[-1].wide
    assert gallery({"a": FIGURE.replace("0 0 9 9", "0 0 18 9")}, columns)[0].wide


def test_the_figures_of_a_study_are_known_by_their_names(study, tmp_path):
    """Those that a comparison draws, from the D-R plane to the heat maps of two evaluators."""
    inputs = load(study, "")
    drawn = figures_of(inputs.compared)
    made = gallery({name: svg(figure).decode() for name, figure in drawn.items()}, inputs.columns)
    titles = [figure.title for figure in made]
    assert titles[:3] == ["The D-R plane", "D-R curves", "Reliability"]
    assert "Aspect by type: ours, one-pass" in titles and "Aspect by type: bleu" in titles
    assert not [title for title in titles if "_" in title]
    for figure in made:
        assert len(figure.svg) > 5000 and "<style" not in figure.svg and "style=" not in figure.svg
        ids = set(re.findall(r' id="([^"]*)"', figure.svg))
        used = set(re.findall(r'(?:href="#|url\(#)([^")]*)', figure.svg))
        assert used and used <= ids and all(name.startswith(f"{figure.name}-") for name in ids)
