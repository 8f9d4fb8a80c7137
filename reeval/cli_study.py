"""`reeval selfcheck`: flags to arguments, nothing else."""

from collections.abc import Sequence

from absl import flags

from reeval.command_line import parse


def selfcheck(argv: Sequence[str]) -> None:
    """Score bundled pairs, and say whether a judge scores here as it should; exit code 1 if not."""
    values = flags.FlagValues()
    text = flags.DEFINE_string
    text("model", "embedded", "A checkpoint directory, or embedded, of which figures are shipped.", flag_values=values)
    text("adapter", None, "A PEFT directory to lay over it.", flag_values=values)
    text("prompt", None, "The prompt's version; an exported judge knows its own.", flag_values=values)
    flags.DEFINE_enum(
        "dtype", None, ["float32", "bfloat16"], "Of the weights; by default as stored.", flag_values=values
    )
    text("write", None, "A file for the figures, in place of the comparison.", flag_values=values)
    parse(values, argv, selfcheck)
    from reeval.score.selfcheck import selfcheck as run

    run(values.model, adapter=values.adapter, prompt=values.prompt, dtype=values.dtype, write=values.write)
