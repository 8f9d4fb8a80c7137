"""Scoring with the embedded judge: command and metric agree, a kill loses nothing, mistakes cost one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import reeval
from reeval import cli, pairs

ROOT = Path(__file__).parents[2]
HELDOUT = ROOT / "reeval" / "shipped" / "heldout.jsonl.gz"


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def shipped(path, count):
    found = [pair for pair in pairs.read(HELDOUT) if len(pair.reference) < 300][:count]
    pairs.write(path, found)
    return found


def test_the_command_and_the_metric_say_the_same(tmp_path):
    found = shipped(tmp_path / "in.jsonl", 6)
    said = ["--model=embedded", "--slots=4", "--max-answer-tokens=96"]
    assert cli.main(["score", *said, f"--pairs={tmp_path / 'in.jsonl'}", f"--out={tmp_path / 'o.jsonl'}"]) == 0
    rows = rows_of(tmp_path / "o.jsonl")
    metric = reeval.load_metric("embedded", slots=3, max_answer_tokens=96)
    scores = metric(references=[p.reference for p in found], candidates=[p.candidate for p in found])
    assert [sample.score for sample in scores.samples] == pytest.approx([row["score"] for row in rows], abs=1e-4)
    assert [sample.raw for sample in scores.samples] == [tuple(row["raw"]) for row in rows]
    assert scores.signature == rows[0]["signature"] and scores.parse_failures == 0
    assert scores.mean == pytest.approx(sum(row["score"] for row in rows) / 6, abs=1e-4)
    frame = scores.to_dataframe()
    assert list(frame["score"]) == [sample.score for sample in scores.samples] and len(frame) == 6


@pytest.mark.slow
def test_a_killed_run_goes_on_without_judging_a_pair_twice(tmp_path):
    found = shipped(tmp_path / "in.jsonl", 24)
    line = [sys.executable, "-m", "reeval.cli", "score", "--model=embedded", "--slots=2", "--max-answer-tokens=64"]
    line += [f"--pairs={tmp_path / 'in.jsonl'}", f"--out={tmp_path / 'o.csv'}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    log = tmp_path / "o.csv.log.jsonl"
    with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        while job.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") >= 2):
            time.sleep(0.05)
        job.send_signal(signal.SIGKILL)
    before = log.read_bytes().count(b"\n")
    assert before >= 2
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-300:]
    ids = [row["pair_id"] for row in rows_of(log)]
    assert sorted(ids) == sorted(pair.pair_id for pair in found)  # each once
    assert (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model=nowhere"], "nowhere"),
        (["--model=embedded", "--prompt=none-1"], "prompt version 'none-1' is unknown"),
        (["--model=embedded", "--slots=0"], "slots"),
        (["--model=embedded", "--mesh=a,b,c"], "three whole numbers"),
        (["--model=embedded", "--max_answer_tokens=0"], "must be at least 1"),
        (["--model=embedded", "--temperature=-1"], "must be 0 or more"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(tmp_path, capsys, flags, said):
    path = tmp_path / "in.csv"
    path.write_text("reference,candidate\none,two\n")
    assert cli.main(["score", *flags, f"--pairs={path}", f"--out={tmp_path / 'o.csv'}"]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in line and line.startswith("reeval: ")
