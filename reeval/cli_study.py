"""`reeval report`: flags to arguments, nothing else."""

from collections.abc import Sequence

from absl import flags

from reeval.command_line import parse


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
