"""A run's newest weights as a directory that leaves: a Hugging Face checkpoint, or a PEFT adapter."""

import json
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from reeval import hf, hosts, lora, sharding, verdicts
from reeval.from_scratch.judge import save_judge
from reeval.run import Run, base_directory, lora_config, recorded_config, trained_weights
from reeval.train.checkpoint import Checkpoints
from reeval.train.real_size import abstract_judge

_COLUMNS = {"D": "D", "R": "R", "R without identical pairs": "R_without_identical"}


def export(workdir: str | Path, out: str | Path, format: str = "merged") -> None:
    """Write the run's judge to `out`, which appears whole or not at all.

    The base model is never in memory: its tensors stream from file to file.

    Args:
        format: "merged", a whole checkpoint; or "adapter", for PEFT, to be laid over the base model.
    Raises:
        ValueError: if the directory holds no run or no checkpoint, it has no adapter and is asked for one, or `out`
            may not be written.
    """
    config = recorded_config(workdir)
    run = Run(config, workdir)
    if format == "adapter" and config.tuning != "lora":
        raise ValueError(f"{workdir}: its run trained all weights and has no adapter; use --format=merged")
    step = save_judge(run, out) if config.tuning == "from_scratch" else _save_tuned(config, run, Path(out), format)
    if hosts.first():
        print(f"wrote the {format} judge of step {step} to {out}")


def _save_tuned(config: ConfigDict, run: Run, out: Path, format: str) -> int:
    """Of a judge that was fine-tuned; gives its step."""
    base, settings = base_directory(config), lora_config(config)
    step, trained = Checkpoints.newest_trained(run.checkpoints, _abstract_trained(config))
    how = f"LoRA, rank {settings.rank}, alpha {settings.alpha:g}, rsLoRA {settings.rslora}"
    card = hf.model_card(
        base_name="the embedded judge of reeval" if config.model.path == "embedded" else base.name,
        adapter=format == "adapter",
        license="apache-2.0" if config.model.path == "embedded" else "other",
        rows=_results(run, step),
        training={
            "steps": step,
            "pairs": Path(config.data.train).name,
            **_learned_from(config),
            "learning rate": config.train.learning_rate,
            "tuning": how if config.tuning == "lora" else "all weights of the decoder",
        },
        prompt_version=config.prompt,
        format_version=verdicts.FORMAT_VERSION,
        demonstration=config.model.path == "embedded",
    )
    record = {"prompt": config.prompt, "format": verdicts.FORMAT_VERSION}
    if not hosts.first():
        return step
    if format == "adapter":
        hf.save_adapter(out, base, trained, settings, card=card, record=record)
    elif config.tuning == "lora":
        hf.save_merged(out, base, trained, settings, card=card, record=record)
    else:
        hf.save_merged(out, base, trained=trained, card=card, record=record)
    return step


def _learned_from(config: ConfigDict) -> dict[str, Any]:
    if config.objective == "sft":
        return {"share of two-pass conversations": config.data.two_pass_share}
    loss = f"{config.preference.kind}, beta {config.preference.beta:g}"
    return {"stages": "supervised fine-tuning, then preferences (DPO)", "loss over preferences": loss}


def _abstract_trained(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of what was trained, whole on every device, without a model in memory."""
    _, trained, _ = lora.take_apart(abstract_judge(config), trained_weights(config))
    whole = sharding.replicated(sharding.make_mesh((-1, 1, 1)))
    return {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole) for name, x in trained.items()}


def _results(run: Run, step: int) -> list[dict[str, Any]]:
    """Rows of the card's table, from the evaluation of this very step; none if there was none."""
    path = run.evaluations / "results.json"
    if not path.is_file():
        return []
    judges = json.loads(path.read_text(encoding="utf-8"))["judges"]
    rows = []
    for name, entry in judges.items():
        if name == "tuned" and entry["step"] != step:
            return []
        for mode, summary in entry["modes"].items():
            row: dict[str, Any] = {"judge": name, "mode": mode, "pairs": summary["pairs"]}
            for column, key in _COLUMNS.items():
                rate = summary[key]
                row[column] = "-" if rate["percent"] is None else _with_interval(rate)
            row["(D+R)/2"] = summary["balanced"]
            row["D-R"] = summary["bias"]
            row["parse failures, %"] = summary["parse_failure_rate"]["percent"]
            rows.append(row)
    return rows


def _with_interval(rate: dict[str, Any]) -> str:
    return f"{rate['percent']:.1f} ({rate['low']:.1f} to {rate['high']:.1f}, n {rate['n']})"
