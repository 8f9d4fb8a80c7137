"""Fine-tuning of all weights through the loop: both families, exact resume, evaluation, and an export that loads."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import random_judge
from families import both
from ml_collections import ConfigDict
from model_runs import jitted
from random_qwen3 import relative
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs import tiny
from reeval import hf, lora, pairs, sharding
from reeval.evaluate.evaluation import evaluate
from reeval.export import export
from reeval.train import loop
from reeval.train.checkpoint import Checkpoints

STEPS = 12


@pytest.fixture(scope="module")
def inputs_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
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


def config(inputs: Path) -> ConfigDict:
    made = tiny.get_config()
    made.tuning = "full"
    made.model.path = str(inputs / "model")
    made.data.update({"train": str(inputs / "train.jsonl"), "sequence_length": 256})
    changes = {"steps": STEPS, "warmup_steps": 2, "log_every": 1, "checkpoint_every": 5, "learning_rate": 1e-3}
    made.train.update(changes)
    made.eval.update({"pairs": str(inputs / "train.jsonl"), "slots": 8, "max_answer_tokens": 40})
    made.eval.max_prompt_tokens = 256
    return made


@pytest.fixture(scope="module")
def trained_of(inputs_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of one device."""

    @functools.cache
    def made(family: str) -> Path:
        workdir = tmp_path_factory.mktemp(f"run-{family}")
        loop.train(config(inputs_of(family)), workdir, mesh=sharding.single_device_mesh())
        return workdir

    return made


@pytest.fixture
def trained(family: str, trained_of: Callable[[str], Path]) -> Path:
    return trained_of(family)


def losses(workdir: Path) -> list[float]:
    events = EventAccumulator(str(workdir / "tensorboard" / "train"))
    events.Reload()
    return [event.value for event in events.Scalars("train/loss")]


def weights(inputs: Path, workdir: Path) -> dict[str, np.ndarray]:
    """Of the newest checkpoint."""
    _, fresh, _ = lora.take_apart(hf.load_model(inputs / "model"), lora.DECODER)
    step, made = Checkpoints.newest_trained(workdir / "checkpoints", fresh)
    assert step == STEPS
    return {name: np.asarray(value) for name, value in made.items()}


@both
def test_losses_fall_and_a_mesh_gives_those_of_one_device(inputs: Path, trained: Path, tmp_path: Path) -> None:
    expected = losses(trained)
    assert len(expected) == STEPS and expected[-1] < expected[0] - 0.5
    loop.train(config(inputs), tmp_path, mesh=sharding.make_mesh((2, 2, 2)))
    np.testing.assert_allclose(losses(tmp_path), expected, rtol=0, atol=1e-5)


@both
def test_a_stopped_run_goes_on_bit_for_bit(
    inputs: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def fail(self: Checkpoints, state: object, data: object, record: object) -> None:
        save(self, state, data, record)
        raise Stopped

    save = Checkpoints.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", fail)
        with pytest.raises(Stopped):
            loop.train(config(inputs), tmp_path, mesh=sharding.single_device_mesh())
    loop.train(config(inputs), tmp_path, mesh=sharding.single_device_mesh())
    got = weights(inputs, tmp_path)
    for name, value in weights(inputs, trained).items():
        assert value.tobytes() == got[name].tobytes(), name


@both
def test_an_export_is_what_was_trained_and_loads_in_transformers(inputs: Path, trained: Path, tmp_path: Path) -> None:
    export(trained, tmp_path / "judge")
    expected = weights(inputs, trained)
    model = hf.load_model(tmp_path / "judge")
    for name, value in lora.take_apart(model, lora.DECODER)[1].items():
        np.testing.assert_array_equal(np.asarray(value), expected[name], err_msg=name)
    assert "all weights of the decoder" in (tmp_path / "judge" / "README.md").read_text()
    with pytest.raises(ValueError, match="has no adapter; use --format=merged"):
        export(trained, tmp_path / "adapter", "adapter")
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    ids = np.random.default_rng(0).integers(3, 60, (2, 21))
    ours = jitted(model)(ids)
    assert relative(jitted(hf.load_model(inputs / "model"))(ids), ours) > 0.01, "training changed nothing"
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "judge", dtype="float32")(torch.asarray(ids)).logits
    assert relative(theirs.numpy(), ours) < 2e-5


def test_the_trained_judge_is_judged_beside_its_base(
    inputs_of: Callable[[str], Path], trained_of: Callable[[str], Path]
) -> None:
    inputs, trained = inputs_of("qwen3"), trained_of("qwen3")
    results = evaluate(config(inputs), trained, mesh=sharding.single_device_mesh())
    assert results["judges"]["base"]["step"] == 0 and results["judges"]["tuned"]["step"] == STEPS
    answers = [
        (trained / "eval" / name / "one_pass" / "verdicts.jsonl").read_text() for name in ("base", f"step-{STEPS:06d}")
    ]
    assert answers[0] != answers[1]
    other = config(inputs)
    other.tuning = "lora"
    with pytest.raises(ValueError, match=r"holds a run with config\.tuning='full', not 'lora'"):
        evaluate(other, trained)
