"""Evaluation of a run: base and tuned judge, both modes, every pair once; D and R to every writer."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import hf, hosts, lora, pairs, settings, sharding
from reeval.data.images import images_sha256
from reeval.evaluate import report, writers
from reeval.evaluate.judge import Judge
from reeval.files import LineLog, write_atomically
from reeval.pairs import Pair
from reeval.progress import progress
from reeval.prompts import MODES
from reeval.run import (
    FINGERPRINT,
    Run,
    add_adapters,
    base_directory,
    checkpoint_fingerprint,
    file_sha256,
    load_base,
    one_line,
    sees_images,
    trained_weights,
)
from reeval.train.checkpoint import Checkpoints
from reeval.train.data import start_weights
from reeval.verdicts import FORMAT_VERSION
from reeval.version import __version__

# Verdicts that are put on the disk together.
_GROUP, _GROUP_SECONDS = 16, 1.0
# What results call the tests between the tuned judge and another.
_MCNEMAR = {"base": "mcnemar", "start": "mcnemar_start"}
# Between two times that all of them are sent to a bucket.
_SEND_SECONDS = 30.0


def evaluate(config: ConfigDict, workdir: str | Path, *, mesh: Mesh | None = None) -> dict[str, Any]:
    """Judge the benchmark pairs of a config with the newest weights of the run, with the base if the config asks, and
    with the run that it started from, if it did.

    Verdicts go to `eval/<judge>/<mode>/verdicts.jsonl` as they come: a killed evaluation goes on where it stopped.

    Args:
        mesh: by default the config's for judging, over all devices.
    Returns:
        what `results.json` holds: for each judge and mode the summary of `reeval.evaluate.report`; and McNemar's tests
        between the tuned judge and the others, "mcnemar" with the base and "mcnemar_start" with the start.
    Raises:
        ValueError: for pairs or a working directory that cannot be evaluated.
        hosts.Stopped: on SIGTERM.
    """
    settings.check(config)
    benchmark = pairs.read(config.eval.pairs, graded=True)
    mesh = mesh or sharding.make_mesh(config.eval.mesh)
    run = Run(config, workdir)
    run.check_judge()
    images = sees_images(config, benchmark)
    seen = images_sha256(benchmark) if images else None
    model, conversation = load_base(config, mesh, images)
    # Merged into a base of int8 an adapter would be rounded as that is: it stays beside it, where it was trained. So do
    # two adapters, of which each wants the base as it was.
    merges = config.tuning == "lora" and config.model.quantized == "none" and config.objective == "sft"
    if merges:
        graph, weights = nnx.split(model)
    add_adapters(config, model, mesh)
    if not merges:
        graph, weights = nnx.split(model)  # a fresh adapter adds nothing, so that this is the base
    parts, fresh, base = lora.take_apart(model, trained_weights(config))
    tuned = {"tuned": Checkpoints.newest_trained(run.checkpoints, fresh)}
    if config.objective == "dpo":
        tuned = {"start": start_weights(config, fresh), **tuned}
    judge = Judge(
        graph,
        conversation,
        mesh,
        slots=config.eval.slots,
        max_prompt_tokens=config.eval.max_prompt_tokens,
        max_answer_tokens=config.eval.max_answer_tokens,
        grammar=config.eval.grammar,
        max_positions=hf.max_positions(base_directory(config)),
    )
    # What is too long or too large is said now, not after an hour of judging.
    for mode in MODES:
        judge.prompts(benchmark, mode)
    memory = judge.memory(weights, "two_pass")  # whose conversations are the longer ones
    print(
        f"judging takes {memory.total / 1e9:.2f} GB on each device: weights {memory.weights / 1e9:.2f}, "
        f"slots {memory.cache / 1e9:.2f}, shared prompt {memory.prefix / 1e9:.2f}, "
        f"temporaries {memory.temporaries / 1e9:.2f}"
    )
    what = {
        "base": checkpoint_fingerprint(base_directory(config)),
        "pairs_sha256": file_sha256(config.eval.pairs),
        "images_sha256": seen,  # null where the judge saw none
        "prompt": config.prompt,
        "format": FORMAT_VERSION,
        "grammar": config.eval.grammar,
        "max_answer_tokens": config.eval.max_answer_tokens,
    }
    results: dict[str, Any] = {"settings": what, "judges": {}}
    verdicts: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in [*(["base"] if config.eval.base else []), *tuned]:
        at_step, adapter_sha256 = 0, "none"
        if name != "base":
            at_step, trained = tuned[name]
            adapter_sha256 = _sha256(sharding.whole(mesh, trained))
            # In place of the base: two models of real size would not fit.
            weights = lora.merge_weights(parts, trained, base) if merges else nnx.state(parts.assemble(trained, base))
        directory = run.evaluations / (f"step-{at_step:06d}" if name == "tuned" else name)
        verdicts[name] = {}
        summaries = {}
        for mode in MODES:
            signature = what | {"adapter_sha256": adapter_sha256, "mode": mode}
            path = directory / mode / "verdicts.jsonl"
            rows = _judged(judge, weights, benchmark, mode, run, path, signature, f"{name} {mode}")
            summaries[mode] = report.summarise(rows, benchmark) | {"signature": _signature(config, signature, images)}
            verdicts[name][mode] = rows
        if hosts.first():
            writers.write_tensorboard(run.tensorboard / f"eval_{name}", name, summaries, at_step)
            writers.write_figure(directory / "dr_curve.png", name, summaries)
        results["judges"][name] = {"step": at_step, "adapter_sha256": adapter_sha256, "modes": summaries}
    compared = {name: verdicts[name] for name in verdicts if name != "tuned"}
    for name, before in compared.items():
        results[_MCNEMAR[name]] = {
            mode: report.compare(before[mode], verdicts["tuned"][mode], benchmark) for mode in MODES
        }
    if hosts.first():
        writers.write_results(run.evaluations / "results.json", results)
        run.send()
    writers.print_table({name: entry["modes"] for name, entry in results["judges"].items()})
    for name in compared:
        for mode, tests in results[_MCNEMAR[name]].items():
            writers.print_paired(mode, name, "tuned", tests)
    print(f"verdicts and results: {run.name}/eval\nTensorBoard: {run.name}/tensorboard")
    return results


def _judged(
    judge: Judge,
    weights: nnx.State,
    benchmark: list[Pair],
    mode: str,
    run: Run,
    path: Path,
    signature: dict[str, Any],
    what: str,
) -> list[dict[str, Any]]:
    """The verdict rows of all pairs in their order: those of an earlier run, and the missing ones judged now.

    Several processes judge them together, step for step, and the first of them writes.
    """
    with hosts.first_before_others(f"verdicts of {what}"):
        run.fetch()
        _sign(path, signature)
        log = LineLog(path, follows=not hosts.first())
        run.send()
    hosts.wait(f"all have read the verdicts of {what}")
    try:
        known = {row["pair_id"] for row in log.rows}
        missing = [pair for pair in benchmark if pair.pair_id not in known]
        with progress(what, len(benchmark), done=len(known), shown=hosts.first()) as advance, hosts.Asked() as asked:
            judged = _until(asked, judge.judge(weights, missing, mode)) if missing else iter(())
            for rows in _groups(judged):
                log.append(rows)
                run.send(every=_SEND_SECONDS)
                advance(len(log.rows), "")
        if len(log.rows) < len(benchmark):
            raise hosts.Stopped(f"{what}: stopped after {len(log.rows)} of {len(benchmark)} pairs, which are saved")
        by_id = {row["pair_id"]: row for row in log.rows}
    finally:
        log.close()
        run.send()
    return [by_id[pair.pair_id] for pair in benchmark]


def _until(asked: hosts.Asked, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield row
        if asked.now():
            return


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows that come quickly a few at a time, slow ones each by itself: going to the disk costs more than a row."""
    group: list[dict[str, Any]] = []
    began = time.monotonic()
    for row in rows:
        group.append(row)
        if len(group) == _GROUP or time.monotonic() - began > _GROUP_SECONDS:
            yield group
            group, began = [], time.monotonic()
    if group:
        yield group


def _sign(path: Path, signature: dict[str, Any]) -> None:
    """Record what decides these verdicts, or make sure that the file was made with the same."""
    beside = path.with_suffix(".settings.json")
    if beside.exists():
        before = json.loads(beside.read_text(encoding="utf-8"))
        differing = [name for name in sorted(before | signature) if before.get(name) != signature.get(name)]
        if differing:
            raise ValueError(
                f"{path}: holds verdicts made with other settings ({', '.join(differing)}); move it away, and "
                f"{beside.name} with it, to judge anew"
            )
        return
    if path.exists():
        raise ValueError(f"{path}: {beside.name} is missing, which says how these verdicts were made; move them away")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(beside, json.dumps(signature, indent=2) + "\n")


def _signature(config: ConfigDict, what: dict[str, Any], images: bool) -> str:
    """All that decides the verdicts of a judge and mode in one line, as `reeval.score.scorer` gives it with scores."""
    adapter = what["adapter_sha256"]
    return one_line(
        {
            "reeval": __version__,
            "model": what["base"][:FINGERPRINT],
            "adapter": adapter if adapter == "none" else adapter[:FINGERPRINT],
            "prompt": what["prompt"],
            "format": what["format"],
            "mode": what["mode"],
            "images": "yes" if images else "no",
            "dtype": config.model.dtype + ("" if config.model.quantized == "none" else f"+{config.model.quantized}"),
            "grammar": "yes" if what["grammar"] else "no",
            "answer": str(what["max_answer_tokens"]),
            "temperature": "0",
            "seed": "none",
        }
    )


def _sha256(weights: dict[str, jax.Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.asarray(weights[name]).tobytes())
    return digest.hexdigest()
