"""Training from scratch: the loss falls, Muon gets its matrices, and what comes out is a checkpoint."""

import dataclasses
import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from reeval import hf
from reeval.from_scratch import data, objective
from reeval.from_scratch.loop import read_options, train
from reeval.from_scratch.optimizer import make_optimizer
from reeval.models.qwen3 import Qwen3
from reeval.synth.generator import SPLITS

CONFIG = Path(__file__).parents[2] / "configs" / "embedded_judge.py"


def options(**changes):
    read = read_options(runpy.run_path(str(CONFIG))["get_config"]())
    model = dataclasses.replace(read.model, vocab_size=700, d_model=32, hidden=48, head_dim=8)
    small = dataclasses.replace(read.data, rows=4, length=256, curriculum=((1.0, 1, 1),))
    return dataclasses.replace(read, model=model, data=small, workers=0, evaluations=0, **changes)


def test_the_loss_falls_and_a_checkpoint_comes_out(tmp_path, capsys):
    train(options(steps=30, log_every=1, minutes=5.0), tmp_path / "judge")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [row["step"] for row in rows] == list(range(1, 31))
    for name, share in (("loss", 0.9), ("answer", 0.9), ("text", 0.95), ("tags", 0.9)):
        first, last = ([row[name] for row in rows[part]] for part in (slice(2), slice(-5, None)))
        assert np.mean(last) < share * np.mean(first), name
    model = hf.load_model(tmp_path / "judge")
    assert model.config == options(steps=1).model
    assert len(hf.load_tokenizer(tmp_path / "judge")) == 700
    assert not (tmp_path / "judge" / "chat_template.jinja").exists()


def test_an_interrupted_run_goes_on_from_its_weights(tmp_path, capsys):
    train(options(steps=60, log_every=1, minutes=5.0), tmp_path / "first")
    train(options(steps=62, log_every=1, minutes=5.0), tmp_path / "second", start=tmp_path / "first", start_step=60)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [row["step"] for row in rows] == list(range(1, 63))
    # Fresh weights would begin again where the first step did.
    assert rows[60]["text"] < 0.97 * rows[0]["text"]


def test_it_ends_when_its_time_is_up(tmp_path, capsys):
    train(options(steps=10_000, log_every=10_000, minutes=0.02), tmp_path / "judge")
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert row["step"] < 10_000


def test_the_evaluation_prints_each_split_and_mode(tmp_path, capsys):
    o = dataclasses.replace(options(steps=1, log_every=1, minutes=5.0), evaluations=1, evaluation_pairs=4)
    train(o, tmp_path / "judge")
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row.keys() == {"step"} | {f"{split} {m}" for split in SPLITS for m in ("one_pass", "two_pass")}


def test_muon_moves_each_projection_of_each_layer_alike():
    o = options(steps=1)
    _, state = nnx.split(Qwen3(o.model, rngs=nnx.Rngs(0)))
    params = {".".join(map(str, path)): v[...] for path, v in nnx.to_flat_state(state)}
    tx = make_optimizer(params, muon_rate=1.0, adam_rate=1.0)
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
    assert np.ptp(np.quantile(jnp.abs(updates["embed.embedding"]), [0.01, 0.99])) < 0.05


def test_the_loss_sees_no_padding_and_no_neighbour():
    o = options(steps=1)
    model = Qwen3(o.model, rngs=nnx.Rngs(0))
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
    head = jax.random.normal(jax.random.key(0), (o.model.d_model, data.TAGS))

    def losses(batch):
        return objective.loss(model, head, {name: jnp.asarray(x) for name, x in batch.items()})

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
