"""The command: what it measures, what it writes, and what it says to a mistake. In one process, to be quick."""

import importlib.util
import json

import pytest
import random_judge

from reeval import cli, embedded, pairs
from reeval.bench import score
from reeval.bench.score import Options


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "pairs.jsonl"
    pairs.write(path, random_judge.pairs(6))
    return path


def test_one_side_alone(here, given, tmp_path, capsys):
    flags = ["--model=random", "--shape=tiny", f"--pairs={given}", "--count=5", "--prompt=compact-1", "--slots=2"]
    flags += ["--max_answer_tokens=20", "--against=none", "--repetitions=2", f"--json={tmp_path / 'out.json'}"]
    assert cli.main(["bench", "score", *flags]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert written.keys() == {"what", "limits", "reeval"}
    reeval = written["reeval"]
    decode = reeval["stages"]["decode"]
    assert written["what"]["pairs"] == 5 and decode["tokens"] == reeval["answer_tokens"]
    assert 0 < decode["share_of_bandwidth"] and 0 < reeval["stages"]["prefill"]["share_of_matmul"]
    assert 0 < reeval["pairs_per_second"]["least"] <= reeval["pairs_per_second"]["median"]
    shown = capsys.readouterr()
    assert "pairs a second" in shown.out and "transformers" not in shown.out + shown.err
    report = pairs.read(given)[0].reference
    assert report not in shown.out + shown.err + (tmp_path / "out.json").read_text()


def test_both_sides_freely(here, given, capsys):
    pytest.importorskip("torch")
    options = Options(
        shape="tiny", pairs=str(given), prompt="compact-1", slots=2, max_answer_tokens=20, batch_sizes=(2, 4),
        repetitions=1, grammar=False,
    )  # fmt: skip
    results = score.run(options)
    assert results["same"] == {"pairs": 6, "of": 6}
    assert results["transformers"]["tried"].keys() == {2, 4}
    assert results["transformers"]["answer_tokens"] == results["reeval"]["answer_tokens"]
    assert "6 of 6 pairs (100.0%)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--count=0"], "--count must be at least 1"),
        (["--slots=-1"], "--slots and --batch_sizes must be at least 1"),
        (["--batch_sizes=8,x"], "--batch_sizes are whole numbers"),
        (["--shape=huge"], "--shape=huge is not one of tiny, qwen3_80m"),
        ([f"--model={embedded.DIRECTORY}", f"--tokenizer={embedded.DIRECTORY}"], "--tokenizer goes with"),
        (["--json=/no/such/directory/out.json"], "no such directory"),
        (["--against=vllm"], "--against=vllm"),
        (["--model=/no/such/model"], "/no/such/model"),
        (["--pairs=/no/such/pairs.jsonl"], "/no/such/pairs.jsonl"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_measured(here, flags, said, capsys):
    assert cli.main(["bench", "score", *flags]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_without_torch_it_is_said_what_to_install(here, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["bench", "score"]) == 2
    assert "needs torch: pip install 'reeval[bench]', or give --against=none" in capsys.readouterr().err


def test_a_command_without_a_name_says_which_there_are(capsys):
    assert cli.main(["bench"]) == 2
    assert "say what to do: reeval bench score" in capsys.readouterr().err
