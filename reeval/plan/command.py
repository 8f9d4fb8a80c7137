"""`reeval plan`: compile, count, print."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from reeval import settings, sharding
from reeval.chips import GPUS, Chip
from reeval.models import remat
from reeval.plan.needs import Needs, needs_of
from reeval.plan.programs import Program, scoring, training_step
from reeval.plan.search import largest
from reeval.plan.topology import chip_of, devices_of

PARTS = ("train", "score", "both")


def plan(
    config: ConfigDict,
    topology: str,
    *,
    what: str = "both",
    slices: int = 1,
    search: bool = False,
    json_file: str | None = None,
) -> list[Needs]:
    """Compile the real training step and scoring loop of a config for a topology, and print what they need a chip.

    Only `config.json` is read of the base model, and its tokenizer if there is one. Needs libtpu
    (`pip install -e '.[plan]'`), or for GPUs jax's CUDA plugin (`'.[plan-gpu]'`). What does not fit is a row of
    the table.

    Args:
        topology: of one slice, such as `v5e:2x4`, or one machine with GPUs, such as `h100:8`.
        what: `train`, `score` or `both`.
        slices: so many of them.
        search: find the largest batch of the training step for each remat policy, too.
        json_file: where the figures go as JSON, too.
    Raises:
        ValueError: if the topology is unknown, the config's mesh does not cover it, or its compiler is missing.
    """
    assert what in PARTS
    settings.check(config, tunings=settings.TUNINGS)
    scores = config.tuning != "from_scratch"
    if what == "score" and not scores:
        raise ValueError(
            "--what=score: config.tuning='from_scratch' trains a judge and scores nothing; export it first"
        )
    if search and not scores:
        raise ValueError("--search: config.tuning='from_scratch' has no remat policies, and its batch is its recipe's")
    chip = chip_of(topology)
    devices = devices_of(topology, slices)
    programs: list[Program] = []
    notes = []
    if what != "score":
        programs.append(training_step(config, devices))
    if what != "train" and scores:
        more, note = scoring(config, devices)
        programs += more
        notes.append(note)
    found = [needs_of(program, chip, slices) for program in programs]
    where = f"{f'{slices} slices of ' if slices > 1 else ''}{topology}"
    console = Console(soft_wrap=True)
    console.print(_memory_table(found, f"A chip of {where}; GB"))
    console.print(_time_table([needs for needs in found if needs.times], f"One run on {where}, a chip"))
    for note in [*notes, *_assumptions(chip, slices)]:
        console.print(note, highlight=False)
    searched = _search(config, devices, chip, slices, console) if search and what != "score" else []
    if json_file:
        figures = {
            "topology": topology,
            "slices": slices,
            "chip": dataclasses.asdict(chip),
            "programs": [dataclasses.asdict(needs) for needs in found],
            "search": searched,
        }
        Path(json_file).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return found


def _memory_table(found: Sequence[Needs], title: str) -> Table:
    table = Table(title=title)
    table.add_column("program")
    table.add_column("one run")
    table.add_column("data, fsdp, tensor")
    for name in ("arguments", "temporaries", "peak", "free", "fits", "compiled in"):
        table.add_column(name, justify="right")
    for needs in found:
        row = (needs.name, needs.what, str(needs.mesh))
        peak_and_free = (_gb(needs.peak), _gb(needs.free)) if needs.peak else ("", "")
        fits = "yes" if needs.fits else "no"
        if needs.times:
            sizes = (_gb(needs.arguments), _gb(needs.temporaries))
            table.add_row(*row, *sizes, *peak_and_free, fits, f"{needs.compile_seconds:.0f} s")
        else:
            table.add_row(*row, "", "", *peak_and_free, fits, "")
    return table


def _time_table(found: Sequence[Needs], title: str) -> Table:
    table = Table(title=title)
    table.add_column("")
    for needs in found:
        table.add_column(needs.name, justify="right")
    table.add_row("FLOP", *(f"{needs.flops:.2e}" for needs in found))
    if any(needs.recomputation for needs in found):
        ratios = (f"{needs.recomputation:.2f}" if needs.recomputation else "" for needs in found)
        table.add_row("of those without recomputation, times", *ratios)
    table.add_row("HBM, GB (estimate)", *(_gb(needs.memory_bytes) for needs in found))
    for attribute, title in (("sent", "sent"), ("sent_across", "sent between slices")):
        for kind in dict.fromkeys(kind for needs in found for kind in getattr(needs, attribute)):
            sizes = (getattr(needs, attribute).get(kind, 0) for needs in found)
            table.add_row(f"{title} by {kind}, GB", *(_gb(size) for size in sizes))
    for name in dict.fromkeys(name for needs in found for name in needs.times):
        table.add_row(f"{name}, ms", *(f"{1e3 * needs.times[name]:.2f}" for needs in found))
    table.add_row("roofline, ms", *(f"{1e3 * needs.seconds:.2f}" for needs in found))
    table.add_row("bound by", *(needs.binds for needs in found))
    table.add_row("tokens a second at most, all chips", *(f"{needs.tokens / needs.seconds:,.0f}" for needs in found))
    return table


def _assumptions(chip: Chip, slices: int) -> list[str]:
    rates = (
        f"{chip.flops / 1e12:.0f} TFLOP/s in bfloat16, {chip.hbm / 2**30:.0f} GiB of memory at "
        f"{chip.hbm_rate / 1e9:.0f} GB/s, {chip.ici_rate / 1e9:.0f} GB/s out over all links"
    )
    if slices > 1:
        rates += f", {chip.dcn_rate / 1e9:.1f} GB/s to other slices"
    of_gpus = [
        "Compiled without a GPU, on which XLA would choose kernels by measuring: memory is near what a GPU takes. "
        "Programs have nine tenths of a card's, as launch/gpu.sh gives them."
    ]
    return [
        *(of_gpus if chip in GPUS.values() else []),
        f"A chip: {rates} (its maker's documentation). The roofline is the longest of four times at these rates, "
        "each as if nothing else took any: a lower bound, not a forecast.",
        "FLOP: of matrix products and convolutions in the program as traced, bodies of scans as often as they run, an "
        "equal share a chip. Without recomputation: 4 a frozen parameter and token or 6 a trained one, of the head for "
        "one chunk of verdict tokens, attention of all pairs, images.",
        "HBM: operands and results of each compiled instruction that is not fused, bodies as often as they run; "
        "collectives: (n-1)/n of the gathered array among n chips, twice that for an all-reduce. Both estimates.",
        "A decode run's loop ends with the data and counts as one step; what is before and after it counts whole.",
    ]


def _search(
    config: ConfigDict, devices: Sequence[Any], chip: Chip, slices: int, console: Console
) -> list[dict[str, Any]]:
    """The largest batch of each remat policy, those that recompute least first; prints them."""
    unit = sharding.batch_multiple(sharding.make_mesh(config.mesh, devices))
    table = Table(title=f"The largest batch that fits, in multiples of {unit} rows")
    for name in ("remat", "rows", "peak, GB", "roofline, tokens a second"):
        table.add_column(name, justify="right")
    found: list[dict[str, Any]] = []
    for policy in _CHEAPEST_FIRST:
        tried: dict[int, Needs] = {}

        def peak(rows: int, policy: str = policy, tried: dict[int, Needs] = tried) -> float:
            other = config.copy_and_resolve_references()
            with other.unlocked():
                other.train.batch_size, other.train.remat = rows, policy
            needs = tried[rows] = needs_of(training_step(other, devices), chip, slices)
            verdict = "fits" if needs.fits else "does not fit"
            console.print(f"remat {policy}, {rows} rows: {verdict}, {_gb(needs.peak)} GB", highlight=False)
            return needs.peak if needs.fits or needs.peak > chip.hbm else math.inf

        rows = largest(peak, chip.hbm, unit)
        found.append({"remat": policy, "batch_size": rows, **(dataclasses.asdict(tried[rows]) if rows else {})})
        best = tried.get(rows)
        cells = (_gb(best.peak), f"{best.tokens / best.seconds:,.0f}") if best else ("", "none fits")
        table.add_row(policy, str(rows), *cells)
    console.print(table)
    chosen = next((each for each in found if each["batch_size"]), None)
    largest_of_all = max(found, key=lambda each: each["batch_size"])
    if chosen is None:
        console.print("No batch fits.")
    else:
        console.print(
            f"The policy that recomputes least and fits: --config.train.remat={chosen['remat']} "
            f"--config.train.batch_size={chosen['batch_size']}; the largest batch: "
            f"--config.train.remat={largest_of_all['remat']} --config.train.batch_size={largest_of_all['batch_size']}",
            highlight=False,
        )
    return found


# `remat.NAMES` as they are: "none" recomputes nothing, "full" all.
_CHEAPEST_FIRST = tuple(sorted(remat.NAMES, key=("none", "dots", "full").index))


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f}"
