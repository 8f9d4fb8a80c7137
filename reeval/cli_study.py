"""`reeval compare / report / selfcheck`: flags to arguments, nothing else."""

from collections.abc import Sequence

from absl import flags

from reeval.command_line import parse, with_config


def compare(argv: Sequence[str]) -> None:
    """Run the evaluators of a study on its pairs, as far as they have not been, and compare them."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The directory of the study.", required=True, flag_values=values)
    flags.DEFINE_bool("allow_remote", False, "Send reports to endpoints on other machines.", flag_values=values)
    with_config(argv, compare, values)
    from reeval.study.run import run

    run(values.config, values.workdir, allow_remote=values.allow_remote)


def report(argv: Sequence[str]) -> None:
    """Write one HTML file of a compared study: its tables, its figures and a browser of its pairs."""
    values = flags.FlagValues()
    text = flags.DEFINE_string
    text("workdir", None, "The directory of the study.", required=True, flag_values=values)
    text("out", None, "The HTML file to write.", required=True, flag_values=values)
    text("pairs", "", "The pair file that was judged; by default the one that the study recorded.", flag_values=values)
    flags.DEFINE_bool("with_text", False, "Put the text of reports into it.", flag_values=values)
    parse(values, argv, report)
    from reeval.page.command import run

    run(values.workdir, values.out, pairs=values.pairs, with_text=values.with_text)


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
