"""Training from scratch: the loss falls, Muon gets its matrices, and what comes out is a checkpoint."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs import embedded_judge
from reeval import hf, sharding
from reeval.cli import main
from reeval.export import export
from reeval.from_scratch import data, objective
from reeval.from_scratch.loop import train
from reeval.from_scratch.optimizer import make_optimizer, schedule
from reeval.models.qwen3 import Qwen3Config
from reeval.synth.generator import SPLITS
from reeval.train.checkpoint import Checkpoints


def config(**changes: object) -> ConfigDict:
    made = embedded_judge.get_config()
    made.model.update({"vocab_size": 700, "d_model": 32, "hidden": 48, "head_dim": 8})
    made.data.update({"rows": 4, "length": 256, "curriculum": ((1.0, 1, 1),)})
    made.train.update({"workers": 0, "evaluation_pairs": 0, "log_every": 1, "checkpoint_every": 10} | changes)
    return made


def judge() -> objective.TaggedJudge:
    return objective.TaggedJudge(Qwen3Config(**config().model), data.TAGS, rngs=nnx.Rngs(0))


def scalars(workdir: Path, name: str) -> list[float]:
    events = EventAccumulator(str(workdir / "tensorboard" / "train"))
    events.Reload()
    assert [event.step for event in events.Scalars(name)] == list(range(1, 31))
    return [event.value for event in events.Scalars(name)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of 30 steps on one device."""
    workdir = tmp_path_factory.mktemp("run")
    train(config(steps=30), workdir, mesh=sharding.single_device_mesh())
    return workdir


def test_the_loss_falls_and_a_checkpoint_comes_out(trained: Path, tmp_path: Path) -> None:
    for name, share in (("loss", 0.9), ("answer", 0.9), ("text", 0.95), ("tags", 0.9)):
        values = scalars(trained, f"train/{name}")
        assert np.mean(values[-5:]) < share * np.mean(values[:2]), name
    export(trained, tmp_path / "judge")
    model = hf.load_model(tmp_path / "judge")
    assert model.config == Qwen3Config(**config().model)
    assert len(hf.load_tokenizer(tmp_path / "judge")) == 700
    assert not (tmp_path / "judge" / "chat_template.jinja").exists()
    with pytest.raises(ValueError, match="trained all weights and has no adapter; use --format=merged"):
        export(trained, tmp_path / "adapter", "adapter")


def test_a_stopped_run_goes_on_bit_for_bit(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception):
        pass

    def fail(self: Checkpoints, state: object, data: object, record: object) -> None:
        save(self, state, data, record)
        raise Stopped

    save = Checkpoints.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", fail)
        with pytest.raises(Stopped):
            train(config(steps=30), tmp_path / "run", mesh=sharding.single_device_mesh())
    # What makes pairs may change between the two.
    train(config(steps=30, workers=1), tmp_path / "run", mesh=sharding.single_device_mesh())
    for out in ("one", "other"):
        export(trained if out == "one" else tmp_path / "run", tmp_path / out)
    for file in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes(), file


def test_a_mesh_gives_the_losses_of_one_device(trained: Path, tmp_path: Path) -> None:
    train(config(steps=30), tmp_path, mesh=sharding.make_mesh((2, 2, 2)))
    # Muon turns what is next to nothing in a gradient into a step like any other.
    np.testing.assert_allclose(scalars(tmp_path, "train/loss"), scalars(trained, "train/loss"), atol=1e-3)
    np.testing.assert_allclose(scalars(tmp_path, "train/loss")[:3], scalars(trained, "train/loss")[:3], atol=1e-5)


def test_the_evaluation_prints_each_split_and_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(config(steps=1, evaluation_pairs=4), tmp_path, mesh=sharding.single_device_mesh())
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row.keys() == {"step"} | {f"{split} {m}" for split in SPLITS for m in ("one_pass", "two_pass")}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--config.data.rows=6"], "config.data.rows=6 must be a multiple of 8 on this mesh"),
        (["--config.train.attention=flash"], "config.train.attention='flash' is not one of"),
        (["--config.model.num_layers=2"], "config.model.num_layers=2 must be at least 3"),
    ],
)
def test_a_wrong_config_is_one_line(
    flags: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--config=configs/embedded_judge.py", f"--workdir={tmp_path}", *flags]) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_rates_rise_and_fall_to_nothing() -> None:
    scale = schedule(100, 0.1)
    np.testing.assert_allclose([scale(n) for n in (0, 4, 9, 54, 99)], [0.1, 0.5, 1.0, 0.5, 0.0], atol=1e-6)


def test_muon_moves_each_projection_of_each_layer_alike():
    state = nnx.state(judge())
    params = {".".join(map(str, path)): v[...] for path, v in nnx.to_flat_state(state)}
    tx = make_optimizer(params, lambda count: 1.0, muon_rate=1.0, adam_rate=1.0)
    grads = {name: 1e-3 * jax.random.normal(jax.random.key(1), p.shape) for name, p in params.items()}
    updates, _ = jax.jit(lambda g, p: tx.update(g, tx.init(p), p))(grads, params)
    projections = [name for name in params if name.endswith(".w")]
    assert len(projections) == 7
    inputs = {"o.w": 2}
    for name in projections:
        axes = inputs.get(name.split("attn.")[-1], 1)
        for layer in updates[name]:
            matrix = layer.reshape(int(np.prod(layer.shape[:axes])), -1)
            singular = jnp.linalg.svd(matrix, compute_uv=False)
            scale = max(1.0, matrix.shape[1] / matrix.shape[0]) ** 0.5
            # Five steps bring the smallest ones up only in part.
            assert 0.5 * scale < jnp.quantile(singular, 0.1) and singular.max() < 1.4 * scale, name
    # Adam's first step has the same length for every number, whatever its gradient.
    assert np.ptp(np.quantile(jnp.abs(updates["judge.embed.embedding"]), [0.01, 0.99])) < 0.05


def test_the_loss_sees_no_padding_and_no_neighbour():
    model = judge()
    rng = np.random.default_rng(0)
    shape = (1, 24)
    one = [data.REFERENCE] * 4 + [data.CANDIDATE] * 4 + [data.ANSWER] * 2 + [data.SEVERITY] * 2
    parts = np.array(one * 2).reshape(1, 24)
    batch = {
        "tokens": rng.integers(0, 700, shape),
        "parts": parts,
        "tags": np.where(parts == data.CANDIDATE, rng.integers(0, data.TAGS, shape), data.NO_TAG),
        "segments": np.repeat([[1, 2]], 12, axis=1),
        "positions": np.tile(np.arange(12), 2)[None, :],
    }
    model.tag_head[...] = jax.random.normal(jax.random.key(0), model.tag_head.shape)

    def losses(batch):
        loss, sums = objective.loss(model, {name: jnp.asarray(x) for name, x in batch.items()})
        return loss, {name: total / by for name, (total, by) in sums.items()}

    halves = [losses({name: x[:, half] for name, x in batch.items()}) for half in (slice(12), slice(12, 24))]
    whole, metrics = losses(batch)
    np.testing.assert_allclose(whole, np.mean([value for value, _ in halves]), rtol=1e-5)
    for name in metrics:
        np.testing.assert_allclose(metrics[name], np.mean([m[name] for _, m in halves]), rtol=1e-5)
    padded = {
        name: np.pad(x, ((0, 0), (0, 8)), constant_values=data.NO_TAG if name == "tags" else 0)
        for name, x in batch.items()
    }
    np.testing.assert_allclose(losses(padded)[0], whole, rtol=1e-5)
