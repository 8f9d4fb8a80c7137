"""Training the embedded judge from scratch: tokenizer, model, data, step after step, checkpoint."""

import dataclasses
import json
import math
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from reeval import hf
from reeval.from_scratch import data, objective, tokenizer
from reeval.from_scratch.evaluation import Evaluation
from reeval.from_scratch.optimizer import make_optimizer
from reeval.models.qwen3 import Qwen3, Qwen3Config


@dataclasses.dataclass(frozen=True)
class Options:
    """A run. It ends after `steps` or `minutes`, whichever is first; the rates decay to zero by then."""

    model: Qwen3Config
    data: data.DataOptions
    steps: int
    minutes: float
    muon_rate: float
    adam_rate: float
    warmup: float
    workers: int
    log_every: int
    evaluations: int
    evaluation_pairs: int


def read_options(config: Mapping[str, Any]) -> Options:
    """The options of a config file such as configs/embedded_judge.py."""
    model, made = Qwen3Config(**config["model"]), data.DataOptions(**config["data"])
    return Options(model=model, data=made, **config["train"])


def train(options: Options, out: Path, *, start: Path | None = None, start_step: int = 0) -> None:
    """Train, print what is learned, and leave a Hugging Face directory in `out`.

    Args:
        start: what an interrupted run left after `start_step`. Only weights go on from there: the optimizer's moments
            and the head that is thrown away begin anew.
    """
    with tempfile.TemporaryDirectory() as made:
        _train(options, Path(made), out, start, start_step)


def _train(o: Options, made: Path, out: Path, start: Path | None, start_step: int) -> None:
    # The tokenizer.
    bpe = tokenizer.train(o.model.vocab_size, o.data.prompt, o.data.seed)
    # Of a judge; conversations that are longer than a row of training are few, but there are some.
    tokenizer.save(bpe, made, max_length=2 * o.data.length)

    # The model, its parameters by name, and the head that is thrown away.
    model = hf.load_model(start) if start else Qwen3(o.model, rngs=nnx.Rngs(o.data.seed))
    graph, state = nnx.split(model)
    params = {".".join(map(str, path)): variable[...] for path, variable in nnx.to_flat_state(state)}
    print(f"{sum(x.size for x in params.values()):,} parameters on {jax.devices()[0].device_kind}", flush=True)
    params["tag_head"] = 0.02 * jax.random.normal(jax.random.key(o.data.seed), (o.model.d_model, data.TAGS))

    def assemble(params: Mapping[str, jax.Array]) -> Any:
        flat = [(path, v.replace(params[".".join(map(str, path))])) for path, v in nnx.to_flat_state(state)]
        return nnx.merge(graph, nnx.from_flat_state(flat))

    # The step.
    tx = make_optimizer(params, muon_rate=o.muon_rate, adam_rate=o.adam_rate)

    def step_fn(params: Any, opt: Any, batch: Any, scale: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            return objective.loss(assemble(params), params["tag_head"], batch)

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt = tx.update(grads, opt, params)
        params = optax.apply_updates(params, jax.tree.map(lambda u: scale * u, updates))
        return params, opt, {"loss": value, **metrics, "gradient": optax.tree.norm(grads)}

    train_step = jax.jit(step_fn, donate_argnums=(0, 1))
    opt = jax.jit(tx.init)(params)
    evaluate = Evaluation(made, o.data.prompt, o.evaluation_pairs) if o.evaluations else None

    # Step after step. Nothing waits for the device but the log, which reads a step that is long past.
    began = time.monotonic()
    due = start_step / o.steps + 1 / o.evaluations if o.evaluations else math.inf
    logged: Any = None
    with data.batches(made / "tokenizer.json", o.data, o.steps, o.workers, start=start_step) as batches:
        for step, batch in enumerate(batches, start=start_step + 1):
            progress = max(step / o.steps, (time.monotonic() - began) / 60 / o.minutes)
            scale = np.float32(_schedule(progress, o.warmup))
            params, opt, metrics = train_step(params, opt, jax.device_put(batch), scale)
            last = step == o.steps or progress >= 1
            if step % o.log_every == 0 or last:
                if logged is not None:
                    _log(*logged)
                logged = (step, metrics, step * batch["tokens"].size, time.monotonic() - began)
            if evaluate and progress >= due and not last:
                due += 1 / o.evaluations
                _save(assemble(params), made, out)
                _print(step, evaluate(assemble(params)))
            if last:
                _log(step, metrics, step * batch["tokens"].size, time.monotonic() - began)
                break

    _save(assemble(params), made, out)
    size = sum(file.stat().st_size for file in out.iterdir() if file.is_file())
    print(f"wrote {out}, {size / 1e6:.1f} MB", flush=True)
    if evaluate:
        _print(step, evaluate(assemble(params)))


def _save(model: Qwen3, made: Path, out: Path) -> None:
    hf.save_model(
        out,
        model,
        hf.load_tokenizer(made),
        card=Path(__file__).with_name("card.md").read_text(encoding="utf-8"),
        overwrite=True,
    )
    # transformers 5 writes a tokenizer class that transformers 4 does not know; ours, both read.
    for file in tokenizer.FILES:
        shutil.copyfile(made / file, out / file)
    (out / "chat_template.jinja").unlink(missing_ok=True)


def _schedule(progress: float, warmup: float) -> float:
    """Linear up over `warmup`, then linear down to zero."""
    return min(progress / warmup, max(1.0 - progress, 0.0) / (1.0 - warmup))


def _log(step: int, metrics: Mapping[str, jax.Array], tokens: int, seconds: float) -> None:
    row = {name: round(float(value), 4) for name, value in jax.device_get(dict(metrics)).items()}
    _print(step, {**row, "tokens": tokens, "seconds": round(seconds)})


def _print(step: int, row: Mapping[str, Any]) -> None:
    print(json.dumps({"step": step, **row}), flush=True)
