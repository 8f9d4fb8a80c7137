"""An evaluation as a whole: each pair judged once whatever happens, and the figures where they are promised."""

import functools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import taught_judge
from families import both
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import reeval
from configs import tiny
from reeval import hf, pairs, prompts, sharding
from reeval.evaluate import evaluation
from reeval.evaluate.judge import Judge
from reeval.train import loop

TIMES = 16
BENCHMARK = taught_judge.many(TIMES)
MESH = sharding.single_device_mesh
Evaluated = tuple[Path, dict[str, Any]]
LOGS = [f"{judge}/{mode}/verdicts.jsonl" for judge in ("base", "step-000003") for mode in prompts.MODES]


def config(directory: Path, judge: Path) -> ConfigDict:
    made = tiny.get_config()
    made.model.path, made.prompt = str(judge), taught_judge.PROMPT
    made.data.update({"train": str(directory / "train.jsonl"), "sequence_length": 256})
    # Hardly trained: what the judge says is still what it has learned by heart.
    made.train.update({"steps": 3, "batch_size": 4, "warmup_steps": 1, "learning_rate": 1e-6})
    made.eval.update({"pairs": str(directory / "heldout.jsonl"), "slots": 8, "max_prompt_tokens": 64})
    # Decoded freely, so that there is every kind of answer.
    made.eval.update({"max_answer_tokens": taught_judge.MAX_ANSWER_TOKENS, "grammar": False})
    return made


@pytest.fixture(scope="module")
def trained_of(tmp_path_factory: pytest.TempPathFactory, judge_of: Callable[[str], Path]) -> Callable[[str], Path]:
    @functools.cache
    def made(family: str) -> Path:
        directory = tmp_path_factory.mktemp(f"trained-{family}")
        pairs.write(directory / "train.jsonl", taught_judge.many(2))
        pairs.write(directory / "heldout.jsonl", BENCHMARK)
        loop.train(config(directory, judge_of(family)), directory / "work", mesh=MESH())
        return directory

    return made


@pytest.fixture
def trained(family: str, trained_of: Callable[[str], Path]) -> Path:
    """A directory with pairs and a run that has not been evaluated."""
    return trained_of(family)


@pytest.fixture(scope="module")
def evaluated_of(trained_of: Callable[[str], Path], judge_of: Callable[[str], Path]) -> Callable[[str], Evaluated]:
    @functools.cache
    def made(family: str) -> Evaluated:
        workdir = trained_of(family) / "evaluated"
        shutil.copytree(trained_of(family) / "work", workdir)
        return workdir, evaluation.evaluate(config(trained_of(family), judge_of(family)), workdir, mesh=MESH())

    return made


@pytest.fixture
def evaluated(family: str, evaluated_of: Callable[[str], Evaluated]) -> Evaluated:
    """Its working directory after an unbroken evaluation, and what that returned."""
    return evaluated_of(family)


@pytest.fixture
def workdir(trained: Path, tmp_path: Path) -> Path:
    """The run again, as it was before its evaluation."""
    shutil.copytree(trained / "work", tmp_path / "work")
    return tmp_path / "work"


def rows(workdir: Path, log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workdir / "eval" / log).read_text().splitlines()]


def judged_once(workdir: Path) -> None:
    for log in LOGS:
        assert Counter(row["pair_id"] for row in rows(workdir, log)) == Counter(p.pair_id for p in BENCHMARK), log


@both
def test_every_verdict_is_there_once_and_the_figures_follow_from_it(evaluated: Evaluated) -> None:
    workdir, results = evaluated
    judged_once(workdir)
    assert results == json.loads((workdir / "eval" / "results.json").read_text())
    assert set(results["judges"]) == {"base", "tuned"}
    assert results["judges"]["tuned"]["step"] == 3 and results["judges"]["base"]["step"] == 0
    for mode in prompts.MODES:
        # The adapter of three steps at no rate judges as the base does.
        assert results["mcnemar"][mode]["D"] == {"only_first": 0, "only_second": 0, "n": 5 * TIMES, "p": 1.0}
        for log in (f"base/{mode}/verdicts.jsonl", f"step-000003/{mode}/verdicts.jsonl"):
            for row in rows(workdir, log):
                kind = taught_judge.kind(row["pair_id"])
                expected, _ = taught_judge.STATUSES.get((kind, mode), ("ok", None))
                assert (row["mode"], row["parse_status"]) == (mode, expected)
        for judge in results["judges"].values():
            summary = judge["modes"][mode]
            # Significant: sig, both, missed, bad, endless; found: sig, both. Not: insig, same, bad second.
            assert (summary["D"]["right"], summary["D"]["n"]) == (2 * TIMES, 5 * TIMES)
            assert (summary["R"]["right"], summary["R"]["n"]) == (2 * TIMES, 3 * TIMES)
            assert (summary["R_without_identical"]["right"], summary["R_without_identical"]["n"]) == (TIMES, 2 * TIMES)
            assert summary["parse_failure_rate"]["right"] == 3 * TIMES


def test_every_result_is_signed_as_scores_are(evaluated: Evaluated) -> None:
    _, results = evaluated
    names = [part.split(":")[0] for part in reeval.load_metric("embedded").signature.split("|")]
    signed = {
        (judge, mode): dict(part.split(":") for part in results["judges"][judge]["modes"][mode]["signature"].split("|"))
        for judge in ("base", "tuned")
        for mode in prompts.MODES
    }
    for (judge, mode), parts in signed.items():
        assert list(parts) == names and parts["mode"] == mode
        assert results["settings"]["base"].startswith(parts["model"]) and len(parts["model"]) == 12
        assert results["judges"][judge]["adapter_sha256"].startswith(parts["adapter"])
        assert (parts["grammar"], parts["dtype"]) == ("yes" if results["settings"]["grammar"] else "no", "float32")
    assert len({parts["adapter"] for parts in signed.values()}) == 2


def test_tensorboard_has_both_modes_of_both_judges(evaluated: Evaluated) -> None:
    workdir, results = evaluated
    for name, step in (("base", 0), ("tuned", 3)):
        events = EventAccumulator(str(workdir / "tensorboard" / f"eval_{name}"), size_guidance={"scalars": 0}).Reload()
        for mode in prompts.MODES:
            for figure in ("D", "R"):
                (event,) = events.Scalars(f"eval/{mode}/{figure}")
                percent = results["judges"][name]["modes"][mode][figure]["percent"]
                assert event.step == step and event.value == pytest.approx(percent)
            for figure in ("balanced", "bias", "D_low", "parse_failure_rate", "by_type/inaccuracy/D"):
                assert events.Scalars(f"eval/{mode}/{figure}")


def test_held_to_the_format_all_parse_and_there_is_a_curve(
    trained: Path, judge_directory: Path, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = config(trained, judge_directory)
    made.eval.update({"grammar": True, "base": False})
    results = evaluation.evaluate(made, workdir, mesh=MESH())
    printed = capsys.readouterr().out
    assert printed.startswith("judging takes 0.0") and "Area under the D-R curve" in printed
    events = EventAccumulator(str(workdir / "tensorboard" / "eval_tuned"), size_guidance={"scalars": 0}).Reload()
    for mode in prompts.MODES:
        summary = results["judges"]["tuned"]["modes"][mode]
        assert summary["parse_failure_rate"]["right"] == 0
        judged = rows(workdir, f"step-000003/{mode}/verdicts.jsonl")
        assert all(row["parse_status"] == "ok" and 0 <= row["probability"] <= 1 for row in judged)
        # What it was taught: sig and both above the others; of the rest nobody knows.
        assert 0 < summary["area"] < 1 and summary["curve"]["threshold"][0] is None
        assert [event.value for event in events.Scalars(f"eval/{mode}/area")] == pytest.approx([summary["area"]])
    (image,) = events.Images("eval/dr_curve")
    assert image.step == 3
    assert (workdir / "eval" / "step-000003" / "dr_curve.png").read_bytes().startswith(b"\x89PNG")


def test_what_quotes_reports_is_for_its_owner_alone(evaluated: Evaluated) -> None:
    workdir, results = evaluated
    for path in (workdir / "eval").rglob("*.json*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert "left" not in json.dumps(results) and "inaccuracy |" not in json.dumps(results)


def test_evaluating_again_judges_nothing_and_gives_the_same(
    evaluated: Evaluated, trained: Path, judge_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, results = evaluated
    before = {log: (workdir / "eval" / log).read_bytes() for log in LOGS}
    monkeypatch.setattr(Judge, "judge", None)
    assert evaluation.evaluate(config(trained, judge_directory), workdir, mesh=MESH()) == results
    assert {log: (workdir / "eval" / log).read_bytes() for log in LOGS} == before


def command(trained: Path, judge: Path, workdir: Path) -> subprocess.Popen[bytes]:
    flat = flatten_dict(config(trained, judge).to_dict(), sep=".")
    needed = ("model.", "prompt", "eval.")
    flags = [f"--config.{name}={value}" for name, value in flat.items() if name.startswith(needed)]
    return subprocess.Popen(
        [sys.executable, "-m", "reeval.cli", "eval", "--config=configs/tiny.py", f"--workdir={workdir}", *flags],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
    )


@both
def test_a_killed_evaluation_goes_on_where_it_stopped(
    evaluated: Evaluated, trained: Path, judge_directory: Path, workdir: Path
) -> None:
    process = command(trained, judge_directory, workdir)
    path = workdir / "eval" / "base" / "two_pass" / "verdicts.jsonl"
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = path.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    count = kept.count(b"\n")
    assert 0 < count < len(BENCHMARK), "killed too late"
    with path.open("ab") as file:
        file.write(b'{"pair_id": "sig 15", "mode": "one_')
    results = evaluation.evaluate(config(trained, judge_directory), workdir, mesh=MESH())
    assert path.read_bytes().startswith(kept), "what was judged has been touched"
    judged_once(workdir)
    assert results == evaluated[1]


def test_the_base_is_left_out_if_asked_and_the_adapter_is_what_judges(
    evaluated: Evaluated, trained: Path, judge_directory: Path, tmp_path: Path
) -> None:
    made = config(trained, judge_directory)
    made.eval.base = False
    # At such a rate the adapter wrecks what the base has learned.
    made.train.update({"learning_rate": 0.3, "final_learning_rate": 0.3})
    loop.train(made, tmp_path, mesh=MESH())
    results = evaluation.evaluate(made, tmp_path, mesh=MESH())
    assert list(results["judges"]) == ["tuned"]
    assert {path.name for path in (tmp_path / "eval").iterdir()} == {"step-000003", "results.json"}
    assert not (tmp_path / "tensorboard" / "eval_base").exists()
    base, wrecked = ({row["pair_id"]: row["raw"] for row in rows(at, LOGS[2])} for at in (evaluated[0], tmp_path))
    assert base.keys() == wrecked.keys() and all(base[name] != wrecked[name] for name in base)


def test_verdicts_of_other_settings_are_refused(
    evaluated: Evaluated, trained: Path, judge_directory: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "work"
    shutil.copytree(evaluated[0], workdir)
    made = config(trained, judge_directory)
    made.eval.max_answer_tokens += 1
    with pytest.raises(ValueError, match=r"one_pass/verdicts\.jsonl: holds verdicts .* \(max_answer_tokens\); move"):
        evaluation.evaluate(made, workdir, mesh=MESH())
    made = config(trained, judge_directory)
    made.eval.grammar = True
    with pytest.raises(ValueError, match=r"\(grammar\)"):
        evaluation.evaluate(made, workdir, mesh=MESH())
    made = config(trained, judge_directory)
    made.eval.pairs = str(tmp_path / "others.jsonl")
    pairs.write(made.eval.pairs, BENCHMARK[:8])
    with pytest.raises(ValueError, match=r"\(pairs_sha256\)"):
        evaluation.evaluate(made, workdir, mesh=MESH())
    settings = Path("eval", "base", "one_pass", "verdicts.settings.json")
    (workdir / settings).unlink()
    with pytest.raises(ValueError, match=r"verdicts\.settings\.json is missing"):
        evaluation.evaluate(config(trained, judge_directory), workdir, mesh=MESH())
    # Where the pairs are judged, and how many at once, is no such setting.
    made = config(trained, judge_directory)
    made.eval.update({"slots": 4, "max_prompt_tokens": 60})
    shutil.copy(evaluated[0] / settings, workdir / settings)
    assert evaluation.evaluate(made, workdir, mesh=MESH()) == evaluated[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": 0}, "slots=0 must be at least 1"),
        ({"max_answer_tokens": 0}, "max_answer_tokens=0 must be at least 1"),
        ({"max_prompt_tokens": -1}, "max_prompt_tokens=-1 must be at least 1"),
        ({"max_prompt_tokens": 50}, "have prompts of more than max_prompt_tokens=50"),
        ({"max_prompt_tokens": 2000}, "conversations of 21.. tokens, but the model has max_position_embeddings=2048"),
    ],
)
def test_what_cannot_be_evaluated_is_named_before_anything_is_judged(
    change: dict[str, int],
    message: str,
    trained: Path,
    judge_directory: Path,
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hf, "max_positions", lambda directory: 2048)
    made = config(trained, judge_directory)
    made.eval.update(change)
    with pytest.raises(ValueError, match=message):
        evaluation.evaluate(made, workdir, mesh=sharding.make_mesh((8, 1, 1)))
    assert not (workdir / "eval").exists()


def test_an_evaluation_before_any_checkpoint(trained: Path, judge_directory: Path, workdir: Path) -> None:
    shutil.rmtree(workdir / "checkpoints")
    with pytest.raises(ValueError, match="there is no checkpoint yet"):
        evaluation.evaluate(config(trained, judge_directory), workdir, mesh=MESH())


def test_quick_rows_go_to_the_disk_in_groups_and_slow_ones_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(evaluation.time, "monotonic", lambda: now)

    def come(seconds: list[float]) -> Iterator[dict[str, Any]]:
        nonlocal now
        for number, pause in enumerate(seconds):
            now += pause
            yield {"pair_id": number}

    def sizes(seconds: list[float]) -> list[int]:
        groups = list(evaluation._groups(come(seconds)))
        assert [row["pair_id"] for group in groups for row in group] == list(range(len(seconds)))
        return [len(group) for group in groups]

    assert sizes([0.001] * 40) == [16, 16, 8]
    assert sizes([5.0] * 3) == [1, 1, 1]
    assert sizes([0.4] * 7) == [3, 3, 1]
    assert sizes([]) == []
