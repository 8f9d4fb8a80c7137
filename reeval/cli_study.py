"""`reeval compare`: flags to arguments, nothing else."""

from collections.abc import Sequence

from absl import flags

from reeval.command_line import with_config


def compare(argv: Sequence[str]) -> None:
    """Run the evaluators of a study on its pairs, as far as they have not been, and compare them."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The directory of the study.", required=True, flag_values=values)
    flags.DEFINE_bool("allow_remote", False, "Send reports to endpoints on other machines.", flag_values=values)
    with_config(argv, compare, values)
    from reeval.study.run import run

    run(values.config, values.workdir, allow_remote=values.allow_remote)
