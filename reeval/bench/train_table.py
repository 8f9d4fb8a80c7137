"""The figures of a benchmark of training as a table for a person."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

# Label, key, form and scale.
_ROWS = (
    ("pairs a second", "pairs_per_second", "{:.3f}", 1.0),
    ("tokens a second, of whole conversations", "tokens_per_second", "{:.0f}", 1.0),
    ("% of the matrix rate, of what those need", "share_of_matmul", "{:.1f}", 100.0),
    ("padding, %", "padding", "{:.1f}", 100.0),
    ("peak memory, GB", "peak_bytes", "{:.2f}", 1e-9),
)


def show(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what `bench.train.run` gives; default standard output."""
    console = console or Console()
    what, limits, ours = results["what"], results["limits"], results["reeval"]
    data, train = what["config"]["data"], what["config"]["train"]
    sides = [name for name in ("reeval", "transformers") if name in results]
    console.print(
        f"{what['model']}, {what['parameters'] / 1e6:.0f} M parameters, {what['config']['model']['dtype']}: "
        f"{what['pairs']} pairs of {what['tokens'] / what['pairs']:.0f} tokens in the mean, "
        f"{what['verdict_tokens'] / what['pairs']:.0f} of them with a loss, in {what['steps']} steps; our rows "
        f"{train['batch_size']} x {data['sequence_length']}, {data['batching']}, attention {train['attention']}, "
        f"remat {train['remat']}",
        soft_wrap=True,
    )
    console.print(
        f"The device ({ours['device']}): {limits['matmul'] / 1e12:.3g} TFLOP/s in a large product", soft_wrap=True
    )
    table = Table(Column("", no_wrap=True), box=SIMPLE, padding=(0, 1))
    for side in sides:
        table.add_column(side, justify="right", no_wrap=True)
    for label, key, form, scale in _ROWS:
        table.add_row(label, *(form.format(results[side][key] * scale) for side in sides))
    console.print(table)
    if "ratio" in results:
        theirs, ratio = results["transformers"], results["ratio"]
        tried = ", ".join(f"{way}: {seconds:.1f} s" for way, seconds in theirs["tried"].items())
        kind, size = theirs["way"]
        console.print(f"transformers {kind}, {size} at a time, its best of ({tried})", soft_wrap=True)
        console.print(
            f"{ratio['median']:.2f} times the pairs a second of transformers and PEFT ({ratio['least']:.2f} to "
            f"{ratio['most']:.2f}); losses apart by {results['losses']['most_apart']:.1e} at most over "
            f"{what['steps']} steps",
            soft_wrap=True,
        )
