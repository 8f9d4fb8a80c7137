"""reeval synth: the same bytes whatever interrupts it, in the shares that it promises."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from reeval import cli, pairs
from reeval.benchmarks.pieces import problems
from reeval.synth import generator
from reeval.synth.run import Options, synthesise

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "reports.jsonl"
    with path.open("w") as out:
        out.write(json.dumps({"study_id": "nothing", "report": " "}) + "\n")
        for report in generator.reports("train", 60, 3):
            out.write(json.dumps({"study_id": report.reference_id, "report": report.text}) + "\n")
    return path


@pytest.fixture(scope="module")
def made(reports, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("made") / "pairs.jsonl"
    synthesise(Options(str(reports), str(out), count=120))
    return out


def test_pairs_are_valid_and_say_how_they_were_made(made):
    found = pairs.read(made, labelled=True)
    assert len(found) == 120 and len({pair.pair_id for pair in found}) == 120
    assert [problem for pair in found for problem in problems(pair)] == []
    assert oct(made.stat().st_mode & 0o777) == "0o600"
    about = json.loads(made.with_name("pairs.jsonl.synth.json").read_text())
    assert about["summary"]["pairs"] == 120 and about["summary"]["reports left out"] == {"empty": 1}


def test_the_mixture_is_what_was_asked_for(made):
    found = pairs.read(made)
    assert abs(sum(pair.significant for pair in found) - 60) <= 6
    counts = Counter(len(pair.errors) for pair in found)
    assert set(counts) <= {0, 1, 2, 3, 4} and min(counts[n] for n in (0, 1, 2)) > 5 and counts[3] + counts[4] > 5
    mixed = [p for p in found if p.significant and any(not e.significant for e in p.errors)]
    assert len(mixed) > 10
    grave = [p for p in found if p.significant]
    varied = [p for p in grave if any(len(piece) > 2 and "error" not in piece[3] for piece in p.metadata["pieces"])]
    assert len(varied) > 0.6 * len(grave)


@pytest.mark.parametrize("cut", [0, 1, 5_000, 40_000, -1, -700])
def test_a_run_goes_on_where_it_was_cut(reports, made, tmp_path, cut):
    whole = made.read_bytes()
    out = tmp_path / "pairs.jsonl"
    (tmp_path / "pairs.jsonl.part").write_bytes(whole[:cut])
    about = json.loads(made.with_name("pairs.jsonl.synth.json").read_text())
    (tmp_path / "pairs.jsonl.synth.json").write_text(json.dumps({"made_from": about["made_from"]}))
    synthesise(Options(str(reports), str(out), count=120))
    assert out.read_bytes() == whole
    assert not (tmp_path / "pairs.jsonl.part").exists()


def test_a_killed_process_loses_and_repeats_nothing(reports, made, tmp_path):
    out, part = tmp_path / "pairs.jsonl", tmp_path / "pairs.jsonl.part"
    command = [sys.executable, "-m", "reeval.cli", "synth", f"--reports={reports}", f"--out={out}", "--count=120"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        for _ in range(6000):
            if part.exists() and part.stat().st_size > 20_000:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert part.exists() and not out.exists()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert out.read_bytes() == made.read_bytes()


def test_a_finished_run_is_not_made_again_and_another_does_not_overwrite_it(reports, made, capsys):
    before = made.stat().st_mtime_ns
    arguments = ["synth", f"--reports={reports}", f"--out={made}"]
    assert cli.main([*arguments, "--count=120"]) == 0
    assert made.stat().st_mtime_ns == before
    for other in ("--count=121", "--seed=1", "--significant=0.4", "--levels=2"):
        assert cli.main([*arguments, *(["--count=120"] if "count" not in other else []), other]) == 2
        assert "exists, from other reports or options" in capsys.readouterr().err.splitlines()[-1]


def test_more_pairs_than_reports_can_carry_in_one_round(reports, tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_text("".join(reports.read_text().splitlines(keepends=True)[:4]))
    summary = synthesise(Options(str(few), str(tmp_path / "out.jsonl"), count=30))
    found = pairs.read(tmp_path / "out.jsonl")
    assert summary["pairs"] == len(found) == 30 and len({p.pair_id for p in found}) == 30
    assert set(Counter(p.reference_id for p in found).values()) <= {9, 10, 11}


def test_each_level_has_one_significant_error_more(reports, tmp_path):
    synthesise(Options(str(reports), str(tmp_path / "levels.jsonl"), count=90, levels=3))
    chains: dict[str, list[pairs.Pair]] = {}
    for pair in pairs.read(tmp_path / "levels.jsonl"):
        chains.setdefault(pair.reference_id, []).append(pair)
    assert sum(len(chain) == 3 for chain in chains.values()) > 10
    for chain in chains.values():
        assert [pair.metadata["level"] for pair in chain] == list(range(1, len(chain) + 1))
        rules = [Counter(pair.metadata["rules"]) for pair in chain]
        assert all(len(pair.errors) == n and all(e.significant for e in pair.errors) for n, pair in enumerate(chain, 1))
        assert all(not before - after for before, after in itertools.pairwise(rules))


def test_a_chain_cut_in_its_middle_is_made_anew(reports, tmp_path):
    whole = tmp_path / "whole.jsonl"
    synthesise(Options(str(reports), str(whole), count=40, levels=3))
    lines = whole.read_bytes().splitlines(keepends=True)
    about = json.loads((tmp_path / "whole.jsonl.synth.json").read_text())["made_from"]
    for keep in range(1, 12):
        out = tmp_path / f"cut{keep}.jsonl"
        out.with_name(out.name + ".part").write_bytes(b"".join(lines[:keep]))
        out.with_name(out.name + ".synth.json").write_text(json.dumps({"made_from": about}))
        synthesise(Options(str(reports), str(out), count=40, levels=3))
        assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--count=0"], "--count=0: must be at least 1"),
        (["--significant=1.5"], "--significant=1.5: must be a share"),
        (["--varied=-1"], "--varied=-1.0: must be a share"),
        (["--levels=9"], "--levels=9: must be 0"),
        (["--out=/nowhere/at/all.jsonl"], "no directory /nowhere/at"),
        (["--reports=missing.csv"], "missing.csv"),
        (["--findings=nope"], "no column 'nope'"),
        (["--writer=llm"], "--writer=llm needs --model"),
        (["--writer=llm", "--model=m", "--base-url=http://192.0.2.1/v1"], "--allow-remote"),
    ],
)
def test_a_mistake_is_one_line(reports, tmp_path, capsys, flags, message):
    arguments = ["synth", f"--reports={reports}", f"--out={tmp_path / 'out.jsonl'}", "--count=4", *flags]
    assert cli.main(arguments) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert message in line and line.startswith("reeval: ")


def test_reports_that_carry_nothing_are_named(tmp_path, capsys):
    path = tmp_path / "notes.jsonl"
    path.write_text('{"report": "Zyxwort quandle brimsel."}\n')
    assert cli.main(["synth", f"--reports={path}", f"--out={tmp_path / 'out.jsonl'}", "--levels=2"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "none of its reports carries an edit" in line and "Zyxwort" not in line
