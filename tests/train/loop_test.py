"""The loop as a whole: the same losses on any mesh, one compile, and exact resume after a kill."""

import contextlib
import functools
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
import random_judge
from families import both
from flax import nnx
from jax.profiler import ProfileData
from ml_collections import ConfigDict
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs import tiny
from reeval import hf, pairs, sharding
from reeval.train import arithmetic, loop
from reeval.train.checkpoint import Checkpoints

STEPS = 20
# The nightly kind: REEVAL_KILLS=20 bash launch/test.sh tests/train/loop_test.py -k killed
KILLS = int(os.environ.get("REEVAL_KILLS", "3"))


@pytest.fixture(scope="module")
def inputs_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What training needs, made once for each family that is asked for."""

    @functools.cache
    def made(family: str) -> Path:
        directory = tmp_path_factory.mktemp(f"inputs-{family}")
        random_judge.write_judge(directory / "model", family=family, num_attention_heads=8, num_key_value_heads=2)
        pairs.write(directory / "train.jsonl", random_judge.pairs(60))
        return directory

    return made


@pytest.fixture
def inputs(family: str, inputs_of: Callable[[str], Path]) -> Path:
    return inputs_of(family)


def config(inputs: Path, **train: object) -> ConfigDict:
    made = tiny.get_config()
    made.model.path = str(inputs / "model")
    made.data.train = str(inputs / "train.jsonl")
    made.data.sequence_length = 256
    made.train.update({"steps": STEPS, "batch_size": 8, "warmup_steps": 3, "log_every": 1, "checkpoint_every": 10})
    made.train.update(train)
    return made


def scalars(workdir: Path, name: str) -> list[float]:
    events = EventAccumulator(str(workdir / "tensorboard" / "train"))
    events.Reload()
    assert [event.step for event in events.Scalars(name)] == list(range(1, STEPS + 1))
    return [event.value for event in events.Scalars(name)]


@pytest.fixture(scope="module")
def single_of(inputs_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @functools.cache
    def made(family: str) -> Path:
        workdir = tmp_path_factory.mktemp(f"single-{family}")
        loop.train(config(inputs_of(family)), workdir, mesh=sharding.single_device_mesh())
        return workdir

    return made


@pytest.fixture
def single(family: str, single_of: Callable[[str], Path]) -> Path:
    """The run of one device."""
    return single_of(family)


@pytest.mark.parametrize(
    ("family", "shape"), [("qwen3", (8, 1, 1)), ("qwen3", (2, 2, 2)), ("qwen3", (1, 4, 2)), ("gemma3", (2, 2, 2))]
)
def test_every_mesh_gives_the_losses_of_one_device_with_one_compile(
    shape: tuple[int, int, int], inputs: Path, single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(loop, "make_train_step", lambda *a, make=loop.make_train_step: made.append(make(*a)) or made[0])
    loop.train(config(inputs), tmp_path, mesh=sharding.make_mesh(shape))
    expected = scalars(single, "train/loss")
    assert expected[-1] < expected[0] - 0.1, "the losses do not fall, so that they prove little"
    np.testing.assert_allclose(scalars(tmp_path, "train/loss"), expected, rtol=0, atol=1e-5)
    assert len(made) == 1 and made[0]._cache_size() == 1


def test_accumulating_changes_nothing_but_memory(inputs: Path, single: Path, tmp_path: Path) -> None:
    loop.train(config(inputs, batch_size=2, accumulation=4), tmp_path, mesh=sharding.single_device_mesh())
    np.testing.assert_allclose(scalars(tmp_path, "train/loss"), scalars(single, "train/loss"), rtol=0, atol=1e-5)


def test_tensorboard_holds_what_a_trainer_watches(single: Path) -> None:
    rates = scalars(single, "train/learning_rate")
    assert rates[0] == 0.0 and max(rates) == pytest.approx(4e-3) and rates[-1] < 1e-4
    assert all(value > 0 for value in scalars(single, "train/gradient_norm"))
    assert all(0 <= value < 0.5 for value in scalars(single, "train/padding"))
    assert all(value > 0 for value in scalars(single, "train/tokens_per_second"))


def test_the_share_of_peak_is_said_where_the_peak_is_known(
    inputs: Path, single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "peak_flops", lambda kind: 1e12)
    monkeypatch.setattr("reeval.progress._SECONDS_BETWEEN_LINES", 0.0)
    made = config(inputs)
    loop.train(made, tmp_path, mesh=sharding.make_mesh((2, 1, 1), jax.devices()[:2]))
    graph, weights = nnx.split(hf.load_model(inputs / "model", mesh=sharding.single_device_mesh()))
    flops = arithmetic.flops_per_token(weights, tied=nnx.merge(graph, weights).config.tied)
    speeds, shares = (scalars(tmp_path, f"train/{name}") for name in ("tokens_per_second", "share_of_peak"))
    np.testing.assert_allclose(shares, np.asarray(speeds) * flops / 2e12, rtol=1e-5)
    assert re.search(
        rf"train {STEPS}/{STEPS} loss \d+\.\d+, [\d,]+ tokens/s, \d+\.\d% of peak", capsys.readouterr().err
    )
    events = EventAccumulator(str(single / "tensorboard" / "train"))
    events.Reload()
    assert "train/share_of_peak" not in events.Tags()["scalars"], "of a CPU nobody says it"


@pytest.mark.filterwarnings("ignore:builtin type")  # of the reader in jax 0.12
def test_a_trace_holds_the_steps_that_were_asked_for(inputs: Path, tmp_path: Path) -> None:
    made = config(inputs, steps=6, checkpoint_every=6)
    made.profile.steps = (3, 4)
    loop.train(made, tmp_path, mesh=sharding.single_device_mesh())
    # Where TensorBoard's profiler looks.
    (trace,) = (tmp_path / "profile" / "plugins" / "profile").glob("*/*.xplane.pb")
    data = ProfileData.from_file(str(trace))
    steps = [dict(e.stats) for plane in data.planes for line in plane.lines for e in line.events if e.name == "train"]
    assert [step["step_num"] for step in steps] == [3, 4]


def test_chunks_of_the_loss_and_remat_change_nothing(inputs: Path, single: Path, tmp_path: Path) -> None:
    loop.train(config(inputs, loss_chunk=100, remat="full"), tmp_path, mesh=sharding.single_device_mesh())
    np.testing.assert_allclose(scalars(tmp_path, "train/loss"), scalars(single, "train/loss"), rtol=0, atol=1e-5)


class Unread:
    """What a step made, as the loop may hold it: nothing of it can be read but by `jax.device_get`."""

    def __init__(self, made: object):
        self.made = made


def test_no_step_waits_for_the_one_before(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step made is read when the next one has been handed over, and at checkpoints."""
    told: list[tuple[str, int]] = []

    def watched(*args: object) -> Callable[..., object]:
        step_fn = make(*args)

        def step(state: object, base: object, batch: object) -> object:
            told.append(("begun", 1 + count("begun")))
            new, metrics = step_fn(state.made if isinstance(state, Unread) else state, base, batch)
            return Unread(new), {name: Unread(value) for name, value in metrics.items()}

        return step

    def count(what: str) -> int:
        return sum(kind == what for kind, _ in told)

    def read(tree: object) -> object:
        told.append(("read", 1 + count("read")))
        return get(jax.tree.map(lambda x: x.made, tree))

    make, get = loop.make_train_step, jax.device_get
    monkeypatch.setattr(loop, "make_train_step", watched)
    monkeypatch.setattr(jax, "device_get", read)
    # Whatever else would wait.
    monkeypatch.setattr(jax, "block_until_ready", lambda tree: told.append(("waited", 0)))
    monkeypatch.setattr(loop.Checkpoints, "save", lambda self, state, data, record: told.append(("saved", 0)))
    loop.train(config(inputs, steps=6, checkpoint_every=4), tmp_path, mesh=sharding.single_device_mesh())
    first = [("begun", 1), ("begun", 2), ("read", 1), ("begun", 3), ("read", 2), ("begun", 4), ("read", 3), ("read", 4)]
    last = [("begun", 5), ("begun", 6), ("read", 5), ("read", 6)]
    assert told == [*first, ("saved", 0), *last, ("saved", 0)]


def test_grouped_batches_train_and_a_stopped_run_goes_on_bit_for_bit(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def grouped(steps: int) -> ConfigDict:
        made = config(inputs, steps=steps, accumulation=2, batch_size=4, checkpoint_every=7)
        made.data.batching = "grouped"
        return made

    class Stopped(Exception):
        pass

    mesh = sharding.make_mesh((2, 2, 1), jax.devices()[:4])
    whole = loop.train(grouped(STEPS), tmp_path / "whole", mesh=mesh)
    assert "60 pairs, 2,048 tokens a step" in capsys.readouterr().out
    losses = scalars(tmp_path / "whole", "train/loss")
    assert losses[-1] < losses[0] - 0.1
    with pytest.MonkeyPatch.context() as patch:

        def fail(self: Checkpoints, state: object, data: object, record: object) -> None:
            save(self, state, data, record)
            if int(state.step) == 14:
                raise Stopped

        save = Checkpoints.save
        patch.setattr(Checkpoints, "save", fail)
        with pytest.raises(Stopped):
            loop.train(grouped(STEPS), tmp_path / "stopped", mesh=mesh)
    again = loop.train(grouped(STEPS), tmp_path / "stopped", mesh=mesh)
    assert "going on after step 14" in capsys.readouterr().out
    for name, value in whole.trained.items():
        assert np.asarray(value).tobytes() == np.asarray(again.trained[name]).tobytes(), name


def command(inputs: Path, workdir: Path, steps: int) -> subprocess.Popen[bytes]:
    flags = {
        "config": "configs/tiny.py",
        "workdir": workdir,
        "config.model.path": inputs / "model",
        "config.data.train": inputs / "train.jsonl",
        "config.data.sequence_length": 256,
        "config.lora.dropout": 0.1,
        "config.train.steps": steps,
        "config.train.batch_size": 4,
        "config.train.checkpoint_every": 7,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "reeval.cli", "train", *(f"--{name}={value}" for name, value in flags.items())],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
    )


def adapter(inputs: Path, workdir: Path) -> tuple[int, dict[str, np.ndarray]]:
    made, mesh = config(inputs), sharding.single_device_mesh()
    model, _ = loop.load_base(made, mesh)
    loop.add_adapters(made, model, mesh)
    _, fresh, _ = loop.lora.take_apart(model)
    step, restored = Checkpoints.newest_trained(workdir / "checkpoints", fresh)
    return step, {name: np.asarray(value) for name, value in restored.items()}


@both
def test_a_killed_run_ends_bit_for_bit_like_an_unbroken_one(family: str, inputs: Path, tmp_path: Path) -> None:
    steps, rng = 60, random.Random(os.getpid())
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    began = time.monotonic()
    assert command(inputs, unbroken, steps).wait() == 0
    takes = time.monotonic() - began
    kill_after = rng.choice([7, 14, 21, 28, 35])
    process = command(inputs, broken, steps)
    while not (broken / "checkpoints" / str(kill_after) / "_CHECKPOINT_METADATA").exists():
        assert process.poll() is None, f"ended before it could be killed after step {kill_after}"
        time.sleep(0.002)
    time.sleep(rng.random() * 0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    # Of the other family's runs one kill says as much: what saves and restores is the same.
    for _ in range(KILLS - 1 if family == "qwen3" or KILLS > 3 else 0):
        # At any time: while it starts, restores, trains or saves.
        process = command(inputs, broken, steps)
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert process.wait(rng.random() * takes) == 0
        process.kill()
        process.wait()
    again = command(inputs, broken, steps)
    assert again.wait() == 0
    expected_step, expected = adapter(inputs, unbroken)
    step, got = adapter(inputs, broken)
    assert step == expected_step == steps
    for name, value in expected.items():
        assert value.tobytes() == got[name].tobytes(), f"{name} differs after a kill past step {kill_after}"


def test_a_workdir_of_another_run_is_refused(inputs: Path, single: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.train\.learning_rate=0\.004, not 0\.001"):
        loop.train(config(inputs, learning_rate=1e-3), single)


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_the_last_good_checkpoint(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, streams = itertools.count(1), []

    def broken(*args: object) -> Callable[..., object]:
        """From step 14 on, which would be saved if it were good."""
        step_fn = make(*args)

        def step(state: object, base: object, batch: object) -> object:
            return step_fn(state, jax.tree.map(lambda x: x * np.nan, base) if next(calls) >= 14 else base, batch)

        return step

    def twice(*args: object) -> object:
        streams.append(drawn(*args))
        return drawn(*args)

    make, drawn = loop.make_train_step, loop.labelled_conversations
    monkeypatch.setattr(loop, "make_train_step", broken)
    monkeypatch.setattr(loop, "labelled_conversations", twice)
    with pytest.raises(FloatingPointError, match="step 14: the loss is nan") as caught:
        loop.train(config(inputs, checkpoint_every=7), tmp_path, mesh=sharding.single_device_mesh())
    assert Checkpoints(tmp_path / "checkpoints").latest_step == 7
    assert all(np.isfinite(value).all() for value in adapter(inputs, tmp_path)[1].values())
    # By their ids alone, those of the batch and no others.
    ((batches, ids, _),) = streams
    batch = [next(batches) for _ in range(14)][-1]
    batches.close()
    expected = {ids[number - 1] for number in np.unique(batch["examples"]) if number}
    assert str(caught.value).partition("The step saw the pairs ")[2].split(", ") == sorted(expected, key=ids.index)
    assert 8 <= len(expected) < len(ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 6}, "batch_size=6 must be a multiple of 8"),
        ({"loss_chunk": 0}, "loss_chunk=0 must be at least 1"),
        ({"steps": 0}, "steps=0 must be at least 1"),
        ({"warmup_steps": 20}, "warmup_steps=20 must be less"),
        ({"remat": "some"}, "remat='some' is not one of"),
        ({"attention": "fast"}, "attention='fast' is not one of auto, xla, blockwise, splash"),
    ],
)
def test_what_cannot_be_trained_with_is_named(
    change: dict[str, object], message: str, inputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        loop.train(config(inputs, **change), tmp_path)
    assert not jax.tree.leaves(list(tmp_path.iterdir())), "a refused run leaves nothing behind"
