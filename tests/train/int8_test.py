"""Training over a base of int8: nearly the same losses, a judge judged as it was trained, an export of the original."""

import gzip
import json
import shutil
from itertools import islice
from pathlib import Path

import jax
import numpy as np
import pytest
import random_judge
from flax import nnx
from ml_collections import ConfigDict
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import reeval
from configs import tiny
from reeval import embedded, export, lora, pairs, sharding
from reeval.evaluate import evaluation
from reeval.evaluate.judge import Judge
from reeval.prompts import MODES
from reeval.run import add_adapters, conversation, load_base
from reeval.train import loop
from reeval.train.checkpoint import Checkpoints

STEPS = 30
MESH = sharding.single_device_mesh


def config(directory: Path, quantized: str) -> ConfigDict:
    made = tiny.get_config()
    made.model.quantized = quantized
    made.data.train = str(directory / "train.jsonl")
    made.train.update({"steps": STEPS, "log_every": 1, "checkpoint_every": STEPS})
    made.eval.update({"pairs": str(directory / "heldout.jsonl"), "slots": 4, "max_answer_tokens": 48})
    return made


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of configs/tiny.py on shipped pairs, shorter ones, in `none` and `int8`."""
    made = tmp_path_factory.mktemp("runs")
    speaks = conversation(embedded.DIRECTORY, tiny.get_config().prompt, False)
    with gzip.open(Path(reeval.__file__).parent / "shipped" / "train.jsonl.gz", "rt") as file:
        (made / "all.jsonl").write_text("".join(islice(file, 600)))
    fitting = [
        pair
        for pair in pairs.read(made / "all.jsonl", labelled=True)
        if max(len(speaks.example(mode, pair).tokens) for mode in MODES) <= 480
    ]
    pairs.write(made / "train.jsonl", fitting)
    pairs.write(made / "heldout.jsonl", random_judge.pairs(4, seed=1))
    for quantized in ("none", "int8"):
        loop.train(config(made, quantized), made / quantized, mesh=MESH())
    return made


def losses(workdir: Path) -> np.ndarray:
    events = EventAccumulator(str(workdir / "tensorboard" / "train"))
    events.Reload()
    return np.array([event.value for event in events.Scalars("train/loss")])


def test_the_loss_is_within_one_percent(directory: Path) -> None:
    plain, packed = losses(directory / "none"), losses(directory / "int8")
    assert plain[-8:].mean() < 0.95 * plain[:4].mean(), "hardly anything is learned, so that it proves little"
    assert not np.array_equal(plain, packed)
    assert packed[-8:].mean() == pytest.approx(plain[-8:].mean(), rel=0.01)


def test_the_first_line_shows_the_smaller_base(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for quantized in ("none", "int8"):
        made = config(directory, quantized)
        made.train.update({"steps": 1, "warmup_steps": 0})
        loop.train(made, tmp_path / quantized, mesh=MESH())
    plain, packed = (float(line.split()[1]) for line in capsys.readouterr().out.splitlines() if line[:5] == "base ")
    assert packed < plain / 2


def test_a_merged_export_adds_the_adapter_to_the_original_weights(directory: Path, tmp_path: Path) -> None:
    export.export(directory / "int8", tmp_path / "out")
    merged, original = (load_file(place / "model.safetensors") for place in (tmp_path / "out", embedded.DIRECTORY))
    made = config(directory, "none")
    model, _ = load_base(made, MESH())
    add_adapters(made, model, MESH())
    parts, fresh, base = lora.take_apart(model)
    _, adapter = Checkpoints.newest_trained(directory / "int8" / "checkpoints", fresh)
    deltas = {path: einsum.lora.delta() for path, einsum in lora.projections(parts.assemble(adapter, base))}
    for n in range(model.config.num_layers):
        for ours, theirs in (("mlp.gate", "mlp.gate_proj"), ("mlp.down", "mlp.down_proj")):
            name = f"model.layers.{n}.{theirs}.weight"
            delta = np.asarray(deltas[f"layers.{ours}"][n], np.float32).T
            assert np.abs(delta).max() > 1e-3
            expected = original[name].astype(np.float32) + delta
            # A weight rounded to int8 is up to a 255th of the largest away.
            np.testing.assert_allclose(merged[name].astype(np.float32), expected, rtol=1e-2, atol=1e-5)
    for name in original.keys() - {name for name in original if "_proj" in name}:
        np.testing.assert_array_equal(merged[name], original[name])


def test_it_is_judged_with_what_it_was_trained_on(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[nnx.GraphDef, nnx.State]] = []

    def judge(self: Judge, weights: nnx.State, *args: object) -> object:
        judged.append((self.graph, jax.tree.map(np.asarray, weights)))
        return one(self, weights, *args)

    one = Judge.judge
    monkeypatch.setattr(Judge, "judge", judge)
    shutil.copytree(directory / "int8", tmp_path / "work")
    evaluation.evaluate(config(directory, "int8"), tmp_path / "work", mesh=MESH())
    assert len(judged) == 4, "base and tuned, in two modes each"
    made = config(directory, "int8")
    model, _ = load_base(made, MESH())
    tokens = np.arange(30)[None] + 5
    untuned = model(tokens)
    add_adapters(made, model, MESH())
    parts, fresh, base = lora.take_apart(model)
    _, adapter = Checkpoints.newest_trained(tmp_path / "work" / "checkpoints", fresh)
    tuned = parts.assemble(adapter, base)(tokens)
    assert float(abs(tuned - untuned).max()) > 0.1
    for (graph, weights), expected in zip(judged, (untuned, untuned, tuned, tuned), strict=True):
        np.testing.assert_array_equal(nnx.merge(graph, weights)(tokens), expected)
    results = json.loads((tmp_path / "work" / "eval" / "results.json").read_text())
    assert results["judges"].keys() == {"base", "tuned"}
