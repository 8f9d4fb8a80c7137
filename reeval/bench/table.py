"""The figures of a benchmark as tables for a person."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

Figures = Mapping[str, Any]


def show(results: Figures, console: Console | None = None) -> None:
    """Print what `bench.score.run` gives; default standard output."""
    console = console or Console()
    what, limits = results["what"], results["limits"]
    sides = [name for name in ("reeval", "transformers") if name in results]
    steered = "under the grammar" if what["steered"] else "free"
    console.print(
        f"{what['model']}, {what['parameters'] / 1e6:.0f} M parameters, {what['dtype']}, {what['mode']}, {steered}: "
        f"{what['pairs']} pairs of {what['prompt_tokens'] / what['pairs']:.0f} prompt tokens in the mean, of which "
        f"{results['reeval']['prefix_tokens']} shared; {what['slots']} slots",
        soft_wrap=True,
    )
    console.print(
        f"The device ({results['reeval']['device']}): {limits['bandwidth'] / 1e9:.1f} GB/s in a large copy or triad, "
        f"{limits['matmul'] / 1e12:.3g} TFLOP/s in a large product",
        soft_wrap=True,
    )
    table = _table(results, sides)
    # Without a terminal rich assumes 80 columns and would squeeze what is wider.
    wanted = console.measure(table, options=console.options.update(max_width=1000)).maximum
    wide = console if console.is_terminal else Console(file=console.file, width=max(80, wanted))
    wide.print(table)
    reeval = results["reeval"]
    stages = reeval["stages"]
    console.print(
        f"Stages of ours from a run that waits after each ({stages['seconds']:.2f} s): layers apart "
        f"{stages['unstacking_seconds']:.2f}, prefill "
        f"{stages['prefill']['seconds']:.2f}, second turns {stages['second_turns']['seconds']:.2f}, decode "
        f"{stages['decode']['seconds']:.2f} in {stages['decode']['steps']} steps, host {stages['host_seconds']:.2f}",
        soft_wrap=True,
    )
    if "transformers" in results:
        _show_comparison(results, console)


def _show_comparison(results: Figures, console: Console) -> None:
    theirs, same, ratio = results["transformers"], results["same"], results["ratio"]
    tried = ", ".join(f"{size}: {seconds:.1f} s" for size, seconds in theirs["tried"].items())
    console.print(f"transformers at batch size {theirs['batch_size']}, its best of ({tried})", soft_wrap=True)
    if results["what"]["steered"]:
        console.print(f"The grammar takes {theirs['steering_share']:.1%} of transformers' time at equal lengths")
    console.print(
        f"{ratio['median']:.2f} times transformers' pairs a second ({ratio['least']:.2f} to {ratio['most']:.2f}), "
        f"with the same answer, token for token, to {same['pairs']} of {same['of']} pairs "
        f"({same['pairs'] / same['of']:.1%})",
        soft_wrap=True,
    )


def _table(results: Figures, sides: list[str]) -> Table:
    table = Table(Column("", no_wrap=True), box=SIMPLE, padding=(0, 1))
    for side in sides:
        table.add_column(side, justify="right", no_wrap=True)

    def row(label: str, *keys: str, form: str = "{:.1f}", scale: float = 1.0) -> None:
        table.add_row(label, *(_cell(results[side], keys, form, scale) for side in sides))

    row("pairs a second", "pairs_per_second", form="{:.2f}")
    row("answer tokens a second", "answer_tokens_per_second")
    row("seconds", "seconds", form="{:.2f}")
    row("first run more, compiling, s", "compile_seconds")
    row("programs compiled", "compilations", form="{}")
    row("peak memory, GB", "peak_bytes", form="{:.2f}", scale=1e-9)
    table.add_section()
    row("prefill, s", "stages", "prefill", "seconds", form="{:.2f}")
    row("prefill, tokens computed", "stages", "prefill", "tokens", form="{:.0f}")
    row("prefill, tokens a second", "stages", "prefill", "tokens_per_second", form="{:.0f}")
    row("prefill, % of the matrix rate", "stages", "prefill", "share_of_matmul", scale=100)
    table.add_section()
    row("decode, s", "stages", "decode", "seconds", form="{:.2f}")
    row("decode, tokens a second", "stages", "decode", "tokens_per_second")
    row("decode, % of the bandwidth", "stages", "decode", "share_of_bandwidth", scale=100)
    row("decode, % of the matrix rate", "stages", "decode", "share_of_matmul", scale=100)
    return table


def _cell(figures: Figures, keys: tuple[str, ...], form: str, scale: float) -> str:
    """A figure, with its spread if it has one; empty where a side does not have it."""
    value: Any = figures
    for key in keys:
        if key not in value:
            return ""
        value = value[key]
    if isinstance(value, Mapping):
        ends = " to ".join(form.format(value[end] * scale) for end in ("least", "most"))
        return f"{form.format(value['median'] * scale)} ({ends})"
    return form.format(value * scale if scale != 1 else value)
