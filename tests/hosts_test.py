"""Several processes make what one makes, stop together, and lose nothing when one of them is lost."""

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import random_judge
from emulated_bucket import emulated_bucket
from safetensors.numpy import load_file
from several import Processes, files, flags
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reeval import hosts, pairs

STEPS = 6
# Leaves checkpoints of steps 16 and 24.
LONG: dict[str, object] = {"config__train__steps": 24, "config__train__checkpoint_every": 8}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("inputs")
    random_judge.write_judge(directory / "model", num_attention_heads=8, num_key_value_heads=2)
    pairs.write(directory / "train.jsonl", random_judge.pairs(60))
    pairs.write(directory / "benchmark.jsonl", random_judge.pairs(12))
    return directory


def training(inputs: Path, workdir: Path | str, **changes: object) -> list[str]:
    values: dict[str, object] = {
        "config": "configs/tiny.py",
        "workdir": workdir,
        "config__model__path": inputs / "model",
        "config__data__train": inputs / "train.jsonl",
        "config__data__sequence_length": 256,
        "config__eval__pairs": inputs / "benchmark.jsonl",
        "config__eval__max_answer_tokens": 64,
        "config__lora__dropout": 0.1,
        "config__train__steps": STEPS,
        "config__train__warmup_steps": 2,
        "config__train__batch_size": 16,
        "config__train__log_every": 1,
        "config__train__checkpoint_every": 3,
        "config__mesh": "(-1,2,2)",
    }
    return flags(**values | changes)


def losses(workdir: Path) -> list[float]:
    events = EventAccumulator(str(workdir / "tensorboard" / "train"))
    events.Reload()
    return [event.value for event in events.Scalars("train/loss")]


def adapter(inputs: Path, workdir: Path, tmp_path: Path) -> dict[str, np.ndarray]:
    out = tmp_path / f"adapter-{workdir.name}"
    Processes(1, "export", *flags(workdir=workdir, out=out, format="adapter")).done()
    return load_file(out / "adapter_model.safetensors")


def same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.tobytes() == other[name].tobytes(), name


def run_all(count: int, inputs: Path, directory: Path) -> None:
    """Train, evaluate, export and score."""
    run = training(inputs, directory / "run")
    Processes(count, "train", *run, devices=16 // count).done()
    Processes(count, "eval", *run, devices=16 // count).done()
    Processes(count, "export", *flags(workdir=directory / "run", out=directory / "judge"), devices=16 // count).done()
    table = flags(model=directory / "judge", pairs=inputs / "benchmark.jsonl", out=directory / "scores" / "s.csv")
    Processes(count, "score", *table, "--slots=4", "--max_answer_tokens=64", devices=16 // count).done()


@pytest.fixture(scope="module")
def alone(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("alone")
    run_all(1, inputs, directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_make_what_one_makes(count: int, inputs: Path, alone: Path, tmp_path: Path) -> None:
    run_all(count, inputs, tmp_path)
    expected = losses(alone / "run")
    assert len(expected) == STEPS
    np.testing.assert_allclose(losses(tmp_path / "run"), expected, rtol=0, atol=1e-5)

    def verdicts(directory: Path) -> dict[str, Any]:
        found = {}
        for path in sorted((directory / "run" / "eval").rglob("verdicts.jsonl")):
            for line in path.read_text().splitlines():
                row = json.loads(line)
                name = str(path.relative_to(directory)), row["pair_id"]
                assert name not in found, "judged twice"
                found[name] = row["raw"], row["parse_status"]
        return found

    assert verdicts(tmp_path) == verdicts(alone) and len(verdicts(alone)) == 4 * 12
    ours, theirs = (load_file(directory / "judge" / "model.safetensors") for directory in (tmp_path, alone))
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=1e-5, err_msg=name)
    scores = [line.split(",")[0] for line in (tmp_path / "scores" / "s.csv").read_text().splitlines()]
    assert scores == [line.split(",")[0] for line in (alone / "scores" / "s.csv").read_text().splitlines()]
    logs = {name for name in files(tmp_path) if ".log" in name}
    assert logs == {f"scores/s.csv.log.{n + 1}-of-{count}.jsonl" for n in range(count)}
    assert written(tmp_path) - logs == written(alone) - {"scores/s.csv.log.jsonl"}


def written(directory: Path) -> set[str]:
    """But for the insides of checkpoints, where each process has files of its own."""
    return {name for name in files(directory) if "/checkpoints/" not in name}


@pytest.fixture(scope="module")
def unbroken(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A run of two processes that nothing happened to, and its adapter."""
    directory = tmp_path_factory.mktemp("unbroken")
    Processes(2, "train", *training(inputs, directory / "run", **LONG)).done()
    return directory / "run", adapter(inputs, directory / "run", directory)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.01)


def saved(workdir: Path, step: int) -> Callable[[], bool]:
    return lambda: (workdir / "checkpoints" / str(step) / "_CHECKPOINT_METADATA").exists()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_a_run_that_is_asked_to_stop_saves_and_goes_on(
    count: int, inputs: Path, unbroken: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    arguments = training(inputs, workdir, **LONG | {"config__train__checkpoint_every": 1000})
    processes = Processes(count, "train", *arguments, devices=8 // count)
    until(lambda: (workdir / "tensorboard").exists() and bool(losses_so_far(workdir)), "the first steps")
    asked = time.monotonic()
    processes.all[-1].send_signal(signal.SIGTERM)
    ended = processes.end(120)
    assert time.monotonic() - asked < 30
    assert [each.code for each in ended] == [hosts.STOPPED] * count, ended
    stopped = [int(re.search(r"stopped at step (\d+) of 24, which is saved", each.err)[1]) for each in ended]
    assert len(set(stopped)) == 1 and 0 < stopped[0] < 24
    assert saved(workdir, stopped[0])()
    Processes(count, "train", *arguments, devices=8 // count).done()
    if count == 2:
        same_bits(adapter(inputs, workdir, tmp_path), unbroken[1])
    np.testing.assert_allclose(losses(workdir), losses(unbroken[0]), rtol=0, atol=1e-5)


def losses_so_far(workdir: Path) -> list[float]:
    try:
        return losses(workdir)
    except KeyError:
        return []


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_other_and_the_run_goes_on_bit_for_bit(
    killed: int, inputs: Path, unbroken: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    arguments = training(inputs, workdir, **LONG)
    processes = Processes(2, "train", *arguments)
    until(saved(workdir, random.Random(os.getpid()).choice([8, 16])), "a checkpoint")
    processes.all[killed].send_signal(signal.SIGKILL)
    at = time.monotonic()
    ended = processes.end(120)
    assert time.monotonic() - at < 60
    assert ended[killed].code == -signal.SIGKILL
    left = ended[1 - killed]
    assert left.code == hosts.STOPPED, left
    assert left.err.splitlines()[-1].startswith("reeval: a process of this run is gone"), left.err[-2000:]
    Processes(2, "train", *arguments).done()
    same_bits(adapter(inputs, workdir, tmp_path), unbroken[1])


@pytest.mark.slow
def test_two_processes_prefer_what_one_does_and_go_on_when_one_is_killed(inputs: Path, tmp_path: Path) -> None:
    start, preferences = tmp_path / "start", tmp_path / "preferences.jsonl"
    Processes(1, "train", *training(inputs, start), devices=8).done()
    mixture = "severity:1,invented:1,dropped:1"
    Processes(1, "prefs", *flags(workdir=start, out=preferences, mixture=mixture), devices=8).done()

    def arguments(workdir: Path, every: int) -> list[str]:
        changes = {"start": start, "data__preferences": preferences, "data__sequence_length": 512, "eval__every": every}
        named = {f"config__{name}": value for name, value in changes.items()}
        return training(inputs, workdir, **LONG, config="configs/tiny_dpo.py", **named)

    Processes(1, "train", *arguments(tmp_path / "one", 0), devices=8).done()
    two = arguments(tmp_path / "two", 9)
    processes = Processes(2, "train", *two)
    until(saved(tmp_path / "two", 8), "a checkpoint")
    processes.all[1].send_signal(signal.SIGKILL)
    assert processes.end(120)[0].code == hosts.STOPPED
    reference = (tmp_path / "two" / "reference.npz").stat().st_mtime_ns
    Processes(2, "train", *two).done()
    assert (tmp_path / "two" / "reference.npz").stat().st_mtime_ns == reference
    expected = losses(tmp_path / "one")
    assert expected[0] == pytest.approx(np.log(2), abs=1e-5) and expected[-1] < expected[0]
    np.testing.assert_allclose(losses(tmp_path / "two"), expected, rtol=0, atol=1e-5)
    looks = EventAccumulator(str(tmp_path / "two" / "tensorboard" / "eval_tuned"))
    looks.Reload()
    assert [event.step for event in looks.Scalars("eval/two_pass/D")] == [9, 18]


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(
    inputs: Path, unbroken: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(unbroken[0], workdir)
    shutil.rmtree(workdir / "checkpoints" / "24")
    Processes(1, "train", *training(inputs, workdir, **LONG), devices=8).done()
    np.testing.assert_allclose(losses(workdir), losses(unbroken[0]), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    inputs: Path, unbroken: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(unbroken[0], workdir)
    newest = workdir / "checkpoints" / "24"
    largest = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    (ended,) = Processes(1, "train", *training(inputs, workdir, **LONG), devices=8).end()
    assert ended.code == 0, ended.err
    assert f"{newest}: cannot be read" in ended.err and "the checkpoint before it is taken" in ended.err
    assert "Traceback" not in ended.err
    np.testing.assert_allclose(losses(workdir), losses(unbroken[0]), rtol=0, atol=1e-5)
    assert saved(workdir, 24)()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_the_older_checkpoint(
    inputs: Path, unbroken: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(unbroken[0], workdir)
    shutil.rmtree(workdir / "checkpoints" / "24")
    before = files(workdir / "checkpoints")
    # No file may grow to the size of an adapter.
    (ended,) = Processes(1, "train", *training(inputs, workdir, **LONG), devices=8, file_bytes=16384).end()
    assert ended.code == 1 and "Traceback" not in ended.err
    assert re.search(r"the checkpoint of step 24 cannot be written \(.*\); those before are intact", ended.err), (
        ended.err
    )
    assert files(workdir / "checkpoints" / "16") == {name[3:] for name in before if name.startswith("16/")}
    Processes(1, "train", *training(inputs, workdir, **LONG), devices=8).done()
    np.testing.assert_allclose(losses(workdir), losses(unbroken[0]), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_hosts_that_share_a_bucket_alone_lose_nothing(
    inputs: Path, unbroken: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """Each process has a copy of its own of what is no checkpoint, as on two machines."""
    with emulated_bucket() as environment:
        bucket, root = fsspec.url_to_fs("gs://bucket/run", endpoint_url=environment["STORAGE_EMULATOR_HOST"])

        def held() -> set[str]:
            bucket.invalidate_cache()
            return {name.removeprefix(f"{root}/") for name in bucket.find(root)}

        arguments = training(inputs, "gs://bucket/run", **LONG, config__eval__base=False)
        processes = Processes(2, "train", *arguments, environment=environment)
        until(lambda: any(name.startswith("checkpoints/8/commit_success") for name in held()), "a checkpoint")
        processes.all[1].send_signal(signal.SIGKILL)
        assert processes.end(120)[0].code == hosts.STOPPED
        Processes(2, "train", *arguments, environment=environment).done()
        out = tmp_path / "adapter"
        exported = flags(workdir="gs://bucket/run", out=out, format="adapter")
        Processes(1, "export", *exported, environment=environment).done()
        same_bits(load_file(out / "adapter_model.safetensors"), unbroken[1])

        said = Processes(2, "eval", *arguments, environment=environment).done()
        assert "gs://bucket/run/eval" in said
        verdicts = "eval/step-000024/one_pass/verdicts.jsonl"
        assert {verdicts, "eval/results.json", "run.json"} <= held()
        judged = [json.loads(line)["pair_id"] for line in bucket.cat_file(f"{root}/{verdicts}").splitlines()]
        assert sorted(judged) == sorted(pair.pair_id for pair in pairs.read(inputs / "benchmark.jsonl"))
        assert any(name.startswith("tensorboard/train/events") for name in held())
        # What is there already is not judged again, by any of them.
        Processes(2, "eval", *arguments, environment=environment).done()
        assert len(bucket.cat_file(f"{root}/{verdicts}").splitlines()) == len(judged)
