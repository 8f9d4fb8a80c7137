"""`reeval bench train`: both sides take the same steps, and mistakes are one line. In one process, to be quick."""

import importlib.util
import json

import pytest
import random_judge

from reeval import cli, embedded, pairs
from reeval.bench import train
from reeval.bench.train import Options
from reeval.bench.train_peer import KINDS


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "pairs.jsonl"
    pairs.write(path, random_judge.pairs(20))
    return path


def test_one_side_alone(here, given, tmp_path, capsys):
    flags = ["--shape=tiny", f"--pairs={given}", "--count=12", "--prompt=compact-1", "--length=512", "--steps=2"]
    flags += ["--against=none", "--repetitions=2", f"--json={tmp_path / 'out.json'}"]
    assert cli.main(["bench", "train", *flags]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert written.keys() == {"what", "limits", "reeval"}
    what, reeval = written["what"], written["reeval"]
    assert what["steps"] == 4 and what["pairs"] >= 4 and reeval["compilations"] == 1
    assert what["tokens"] / reeval["seconds"] == pytest.approx(reeval["tokens_per_second"])
    assert 0 < what["verdict_tokens"] < what["tokens"] and 0 < reeval["share_of_matmul"]
    shown = capsys.readouterr()
    assert "pairs a second" in shown.out and "transformers" not in shown.out + shown.err
    report = pairs.read(given)[0].reference
    assert report not in shown.out + shown.err + (tmp_path / "out.json").read_text()


@pytest.mark.parametrize("batching", ["packed", "shared", "grouped"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_lose_the_same_step_by_step(batching, kind, here, given, monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    monkeypatch.setattr(train, "KINDS", (kind,))
    options = Options(
        shape="tiny", pairs=str(given), prompt="compact-1", batching=batching, length=512, batch_size=2, steps=3,
        micro_batches=(3,), repetitions=2,
    )  # fmt: skip
    results = train.run(options)
    assert results["transformers"]["way"] == [kind, 3]
    losses = results["losses"]
    assert len(losses["ours"]) == len(losses["theirs"]) == 6
    assert losses["most_apart"] < 1e-4
    assert max(losses["ours"]) - min(losses["ours"]) > 1e-3, "all steps lose the same, so that they prove little"
    assert "times the pairs a second of transformers and PEFT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--count=0"], "--count must be at least 1"),
        (["--micro_batches=0"], "--micro_batches must be at least 1"),
        (["--micro_batches=8,x"], "--micro_batches are whole numbers"),
        (["--shape=huge"], "--shape=huge is not one of tiny, qwen3_80m"),
        (["--attention=fast"], "--attention=fast is not one of auto, xla"),
        (["--remat=some"], "--remat=some is not one of none, full"),
        ([f"--model={embedded.DIRECTORY}", f"--tokenizer={embedded.DIRECTORY}"], "--tokenizer goes with"),
        (["--json=/no/such/directory/out.json"], "no such directory"),
        (["--model=/no/such/model"], "/no/such/model"),
        (["--pairs=/no/such/pairs.jsonl"], "/no/such/pairs.jsonl"),
        (["--shape=tiny", "--length=64"], "do not fit into data.sequence_length=64"),
    ],
)
def test_mistakes_are_one_line(here, flags, said, capsys):
    assert cli.main(["bench", "train", *flags, "--against=none"]) == 2
    error = capsys.readouterr().err
    assert [line for line in error.splitlines() if said in line] == error.splitlines()[-1:]


def test_without_torch_it_is_said_what_to_install(here, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["bench", "train"]) == 2
    assert "needs torch: pip install 'reeval[bench]', or give --against=none" in capsys.readouterr().err
