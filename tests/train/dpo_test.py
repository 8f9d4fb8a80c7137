"""Preference training after a run: from the reference's own loss down, on any mesh, resumed exactly, judged beside."""

import functools
import itertools
import math
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

from configs import tiny, tiny_dpo
from reeval import hf, hosts, pairs, sharding
from reeval.cli import main
from reeval.evaluate.evaluation import evaluate
from reeval.evaluate.intervals import judging
from reeval.export import export
from reeval.train import loop
from reeval.train.checkpoint import Checkpoints

STEPS = 12
MESH = sharding.single_device_mesh


@pytest.fixture(scope="module")
def inputs_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A base, pairs, a short run of supervised fine-tuning, and preferences."""

    @functools.cache
    def made(family: str) -> Path:
        directory = tmp_path_factory.mktemp(f"inputs-{family}")
        random_judge.write_judge(directory / "model", family=family, num_attention_heads=8, num_key_value_heads=2)
        pairs.write(directory / "train.jsonl", random_judge.pairs(40))
        first = tiny.get_config()
        first.model.path = str(directory / "model")
        first.data.update({"train": str(directory / "train.jsonl"), "sequence_length": 256})
        first.train.update({"steps": 4, "warmup_steps": 1, "checkpoint_every": 2})
        loop.train(first, directory / "start", mesh=MESH())
        mixture = "--mixture=severity:1,invented:1,dropped:1"
        flags = [f"--workdir={directory / 'start'}", f"--out={directory / 'preferences.jsonl'}", mixture]
        assert main(["prefs", *flags]) == 0
        return directory

    return made


@pytest.fixture
def inputs(family: str, inputs_of: Callable[[str], Path]) -> Path:
    return inputs_of(family)


def config(inputs: Path, **train: object) -> ConfigDict:
    made = tiny_dpo.get_config()
    made.start = str(inputs / "start")
    made.model.path = str(inputs / "model")
    made.data.update({"train": str(inputs / "train.jsonl"), "preferences": str(inputs / "preferences.jsonl")})
    made.data.sequence_length = 512
    changes = {"steps": STEPS, "batch_size": 8, "warmup_steps": 2, "learning_rate": 3e-3, "log_every": 1}
    made.train.update(changes | {"checkpoint_every": 5} | train)
    made.eval.update({"pairs": str(inputs / "train.jsonl"), "slots": 8, "max_prompt_tokens": 256})
    made.eval.max_answer_tokens = 40
    return made


@pytest.fixture(scope="module")
def trained_of(inputs_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of one device."""

    @functools.cache
    def made(family: str) -> Path:
        workdir = tmp_path_factory.mktemp(f"run-{family}")
        loop.train(config(inputs_of(family)), workdir, mesh=MESH())
        return workdir

    return made


@pytest.fixture
def trained(family: str, trained_of: Callable[[str], Path]) -> Path:
    return trained_of(family)


def scalars(workdir: Path, name: str) -> list[float]:
    events = EventAccumulator(str(workdir / "tensorboard" / "train"))
    events.Reload()
    assert [event.step for event in events.Scalars(f"train/{name}")] == list(range(1, STEPS + 1))
    return [event.value for event in events.Scalars(f"train/{name}")]


@both
def test_training_goes_from_the_references_own_loss_to_telling_the_two_apart(trained: Path) -> None:
    losses = scalars(trained, "loss")
    # The policy is the reference: no difference between the two, and none from it.
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert scalars(trained, "margin")[0] == pytest.approx(0, abs=1e-5)
    assert scalars(trained, "kl")[0] == pytest.approx(0, abs=1e-5)
    assert losses[-1] < 0.6 and scalars(trained, "accuracy")[-1] > 0.8 and scalars(trained, "margin")[-1] > 0.2
    assert scalars(trained, "kl")[-1] > 1e-4
    chosen, rejected = (scalars(trained, f"{name}_log_probability") for name in ("chosen", "rejected"))
    assert chosen[-1] - rejected[-1] > chosen[0] - rejected[0]


@both
def test_accumulating_on_a_mesh_gives_the_losses_of_one_device(inputs: Path, trained: Path, tmp_path: Path) -> None:
    loop.train(config(inputs, batch_size=4, accumulation=2), tmp_path, mesh=sharding.make_mesh((2, 2, 2)))
    for name in ("loss", "margin", "kl"):
        np.testing.assert_allclose(scalars(tmp_path, name), scalars(trained, name), rtol=0, atol=2e-5)
    # In the first two steps there is nothing to be right about: the policy is the reference, and rounding decides.
    np.testing.assert_allclose(*(scalars(of, "accuracy")[2:] for of in (tmp_path, trained)), rtol=0, atol=2e-5)


@both
def test_a_stopped_run_goes_on_bit_for_bit_and_computes_no_reference_again(
    inputs: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
            loop.train(config(inputs), tmp_path, mesh=MESH())
    assert "reference" in capsys.readouterr().err
    again = loop.train(config(inputs), tmp_path, mesh=MESH())
    assert "reference" not in capsys.readouterr().err
    _, whole = Checkpoints.newest_trained(trained / "checkpoints", again.trained)
    for name, value in whole.items():
        assert np.asarray(value).tobytes() == np.asarray(again.trained[name]).tobytes(), name


def test_the_judge_is_looked_at_while_it_trains_and_a_look_breaks_off_when_it_is_asked_to_stop(
    inputs_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(inputs_of("qwen3"), steps=6)
    pairs.write(tmp_path / "few.jsonl", random_judge.pairs(8))
    made.eval.update({"every": 2, "pairs": str(tmp_path / "few.jsonl")})
    asked = itertools.count(1)
    with monkeypatch.context() as patch:
        # Once a step and a pair: the 8 pairs in both modes after step 2, and three of those after step 4.
        patch.setattr(hosts.Asked, "now", lambda self: next(asked) == 2 + 16 + 2 + 3)
        with pytest.raises(hosts.Stopped, match="stopped at step 4 of 6, which is saved"):
            loop.train(made, tmp_path, mesh=MESH(), judging=judging)
    assert next(asked) == 2 + 16 + 2 + 3 + 1
    loop.train(made, tmp_path, mesh=MESH(), judging=judging)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "eval_tuned"))
    events.Reload()
    for mode in ("one_pass", "two_pass"):
        for rate in ("D", "R"):
            assert [event.step for event in events.Scalars(f"eval/{mode}/{rate}")] == [2, 6]
    # The last look is at what an evaluation judges.
    results = evaluate(made, tmp_path, mesh=MESH())
    last = events.Scalars("eval/two_pass/D")[-1].value
    assert last == pytest.approx(results["judges"]["tuned"]["modes"]["two_pass"]["D"]["percent"], abs=1e-4)


def test_a_run_that_has_begun_keeps_its_start_and_its_preferences(
    inputs_of: Callable[[str], Path], trained_of: Callable[[str], Path]
) -> None:
    inputs, trained = inputs_of("qwen3"), trained_of("qwen3")
    path = trained / "reference.npz"
    kept = path.read_bytes()
    try:
        path.unlink()
        with pytest.raises(ValueError, match=r"reference\.npz: is missing, which the run began with"):
            loop.train(config(inputs), trained, mesh=MESH())
        path.write_bytes(b"nothing")
        with pytest.raises(ValueError, match=r"reference\.npz: damaged; remove it"):
            loop.train(config(inputs), trained, mesh=MESH())
    finally:
        path.write_bytes(kept)
    before = (inputs / "preferences.jsonl").read_bytes()
    try:
        (inputs / "preferences.jsonl").write_bytes(before.partition(b"\n")[2])
        with pytest.raises(ValueError, match=r"the run began with another config\.data\.preferences"):
            loop.train(config(inputs), trained, mesh=MESH())
    finally:
        (inputs / "preferences.jsonl").write_bytes(before)


def test_mistakes_are_one_line(inputs_of: Callable[[str], Path], tmp_path: Path) -> None:
    inputs = inputs_of("qwen3")
    for change, says in (
        ({"start": ""}, r"config\.start is empty"),
        ({"start": str(tmp_path / "nowhere")}, "holds no run"),
        ({"lora.rank": 3}, r"holds a run with config\.lora\.rank=16, not 3"),
        ({"data.preferences": "nowhere.jsonl"}, r"nowhere\.jsonl: no such preference file"),
        ({"preference.kind": "ppo"}, r"config\.preference\.kind='ppo' is not one of sigmoid, robust, ipo"),
        ({"data.sequence_length": 90}, r"preferences do not fit into data\.sequence_length=90"),
        # Before the reference is computed, which takes long.
        ({"preference.kind": "ipo", "preference.label_smoothing": 0.1}, "'ipo' knows no label smoothing"),
    ):
        made = config(inputs)
        made.update_from_flattened_dict(change)
        with pytest.raises(ValueError, match=says):
            loop.train(made, tmp_path / "work", mesh=MESH())
    made = config(inputs)
    made.eval.update({"every": 5, "max_prompt_tokens": 30})
    with pytest.raises(ValueError, match="40 pairs have prompts of more than max_prompt_tokens=30"):
        loop.train(made, tmp_path / "long", mesh=MESH(), judging=judging)
    assert not (tmp_path / "work" / "reference.npz").exists()
    assert not (tmp_path / "long" / "tensorboard").exists(), "it began"
    pairs.write(tmp_path / "others.jsonl", random_judge.pairs(2))
    made = config(inputs)
    made.data.train = str(tmp_path / "others.jsonl")
    with pytest.raises(ValueError, match=r"of its pairs are not in .*others\.jsonl"):
        loop.train(made, tmp_path / "work", mesh=MESH())


def test_the_judge_is_judged_beside_the_one_it_started_from(
    inputs_of: Callable[[str], Path], trained_of: Callable[[str], Path]
) -> None:
    inputs, trained = inputs_of("qwen3"), trained_of("qwen3")
    results = evaluate(config(inputs), trained, mesh=MESH())
    assert {name: entry["step"] for name, entry in results["judges"].items()} == {"base": 0, "start": 4, "tuned": STEPS}
    assert set(results["mcnemar"]) == set(results["mcnemar_start"]) == {"one_pass", "two_pass"}
    # The start is judged as its own run would be.
    first = tiny.get_config()
    first.model.path = str(inputs / "model")
    first.data.update({"train": str(inputs / "train.jsonl"), "sequence_length": 256})
    first.eval.update(config(inputs).eval)
    own = evaluate(first, inputs / "start", mesh=MESH())
    digests = [judges["judges"][name]["adapter_sha256"] for judges, name in ((results, "start"), (own, "tuned"))]
    assert digests[0] == digests[1]


def test_both_stages_leave_as_one_adapter_over_the_base(inputs: Path, trained: Path, tmp_path: Path) -> None:
    for format in ("merged", "adapter"):
        export(trained, tmp_path / format, format)
        assert "then preferences (DPO)" in (tmp_path / format / "README.md").read_text()
    export(inputs / "start", tmp_path / "start")
    ids = np.random.default_rng(0).integers(3, 60, (2, 21))
    base, first, both_stages = (
        jitted(hf.load_model(at, images=False))(ids)
        for at in (inputs / "model", tmp_path / "start", tmp_path / "merged")
    )
    assert relative(first, base) > 1e-3 and relative(both_stages, first) > 1e-3, "a stage changed nothing"
    laid_over = hf.load_model(inputs / "model", images=False)
    hf.load_adapter(tmp_path / "adapter", laid_over)
    assert relative(jitted(laid_over)(ids), both_stages) < 2e-5
    torch, peft = pytest.importorskip("torch"), pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="float32")
    over_base = AutoModelForCausalLM.from_pretrained(inputs / "model", dtype="float32")
    with torch.no_grad():
        assert relative(theirs(torch.asarray(ids)).logits.numpy(), both_stages) < 2e-5
        over_base = peft.PeftModel.from_pretrained(over_base, tmp_path / "adapter")
        assert relative(over_base(torch.asarray(ids)).logits.numpy(), both_stages) < 2e-5


def test_all_weights_learn_from_preferences_too(inputs_of: Callable[[str], Path], tmp_path: Path) -> None:
    inputs = inputs_of("qwen3")
    first = tiny.get_config()
    first.tuning = "full"
    first.model.path = str(inputs / "model")
    first.data.update({"train": str(inputs / "train.jsonl"), "sequence_length": 256})
    first.train.update({"steps": 2, "warmup_steps": 1, "learning_rate": 1e-3})
    loop.train(first, tmp_path / "start", mesh=MESH())
    made = config(inputs, learning_rate=1e-3)
    made.tuning, made.start = "full", str(tmp_path / "start")
    loop.train(made, tmp_path / "dpo", mesh=MESH())
    losses = scalars(tmp_path / "dpo", "loss")
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5) and losses[-1] < 0.6
    export(tmp_path / "dpo", tmp_path / "judge")
    export(tmp_path / "start", tmp_path / "before")
    ids = np.random.default_rng(0).integers(3, 60, (2, 21))
    before, after = (jitted(hf.load_model(tmp_path / name))(ids) for name in ("before", "judge"))
    assert relative(after, before) > 1e-3
    made.tuning = "lora"
    with pytest.raises(ValueError, match=r"holds a run with config\.tuning='full', not 'lora'"):
        loop.train(made, tmp_path / "other", mesh=MESH())
