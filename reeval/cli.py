"""`reeval train / eval / export / plan`: flags to arguments, nothing else."""

import difflib
import runpy
import sys
from collections.abc import Callable, Sequence

from absl import flags
from ml_collections import config_flags
from flax.traverse_util import flatten_dict

USAGE = """reeval: judges of generated radiology reports.

  reeval train   --config=FILE --workdir=DIR [--config.FIELD=VALUE ...]   fine-tune a judge; resumes
  reeval eval    --config=FILE --workdir=DIR [--config.FIELD=VALUE ...]   D and R, both modes; resumes
  reeval export  --workdir=DIR --out=DIR [--format=merged|adapter]        a Hugging Face or PEFT directory
  reeval plan    --config=FILE --topology=v5e:2x4                         memory a chip on TPUs not at hand

`reeval COMMAND --help` lists a command's flags; --debug shows the traceback of an error."""


def train(argv: Sequence[str]) -> None:
    """Fine-tune a judge with LoRA."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The directory of the run.", required=True, flag_values=values)
    _with_config(argv, train, values)
    from reeval.train.loop import train as run

    run(values.config, values.workdir)


def evaluate(argv: Sequence[str]) -> None:
    """Judge the benchmark pairs with the base and the fine-tuned judge."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The directory of the run.", required=True, flag_values=values)
    _with_config(argv, evaluate, values)
    from reeval.evaluate.evaluation import evaluate as run

    run(values.config, values.workdir)


def export(argv: Sequence[str]) -> None:
    """Write the fine-tuned judge as a checkpoint that transformers, PEFT and vLLM load."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The run to export.", required=True, flag_values=values)
    flags.DEFINE_string("out", None, "The directory to write; must be new or empty.", required=True, flag_values=values)
    flags.DEFINE_enum("format", "merged", ["merged", "adapter"], "What to write.", flag_values=values)
    _parse(values, argv, export)
    from reeval.export import export as run

    run(values.workdir, values.out, values.format)


def plan(argv: Sequence[str]) -> None:
    """Compile a config's training step for a TPU topology, and say what memory it takes; needs no TPU."""
    values = flags.FlagValues()
    flags.DEFINE_string("topology", None, "Such as v5e:2x4.", required=True, flag_values=values)
    _with_config(argv, plan, values)
    from reeval.plan import plan as run

    run(values.config, values.topology)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train,
    "eval": evaluate,
    "export": export,
    "plan": plan,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code: 0, 2 for a user's mistake (one line on standard error), 1 for the rest."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if arguments else 2
    name, *rest = arguments
    try:
        if name not in COMMANDS:
            raise ValueError(f"no command {name!r}; there are {', '.join(COMMANDS)} (see `reeval --help`)")
        COMMANDS[name](rest)
    except Help as help_text:
        print(help_text)
    except (ValueError, FileNotFoundError, PermissionError, FloatingPointError) as error:
        if debug:
            raise
        print(f"reeval: {error}", file=sys.stderr)
        return 1 if isinstance(error, FloatingPointError) else 2
    except KeyboardInterrupt:
        print("reeval: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


class Help(Exception):
    """Carries a command's help text to `main`."""


def _with_config(argv: Sequence[str], command: Callable[..., None], values: flags.FlagValues) -> None:
    config_flags.DEFINE_config_file("config", None, "A file of configs/.", flag_values=values)
    paths = [argument.partition("=")[2] for argument in argv if argument.startswith("--config=")]
    for path in paths:
        _check_overrides(path, argv)
    _parse(values, argv, command)
    if not paths:
        raise ValueError("flag --config is missing, e.g. --config=configs/tiny.py")


def _check_overrides(path: str, argv: Sequence[str]) -> None:
    """Name a field that the config does not have, which the flag library would report as a bare key."""
    try:
        fields = runpy.run_path(path)["get_config"]()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; --config takes a file such as configs/tiny.py") from None
    except Exception as error:
        raise ValueError(f"{path}: no usable config ({type(error).__name__}: {error})") from None
    known = list(flatten_dict(fields.to_dict(), sep="."))
    for argument in argv:
        name = argument.removeprefix("--config.").partition("=")[0]
        if argument.startswith("--config.") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"{path}: has no field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def _parse(values: flags.FlagValues, argv: Sequence[str], command: Callable[..., None]) -> None:
    if "--help" in argv or "-h" in argv:
        lines = [f"  --{name}: {values[name].help}" for name in values if name not in ("flagfile", "undefok")]
        override = ["  --config.FIELD=VALUE: override a field of the config."] if "config" in values else []
        raise Help("\n".join([str(command.__doc__), "", *lines, *override]))
    try:
        rest = values([command.__name__, *argv])
    except (flags.Error, AttributeError, KeyError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if rest[1:]:
        raise ValueError(f"unexpected argument {rest[1]!r}; flags have the form --name=value")


if __name__ == "__main__":
    sys.exit(main())
