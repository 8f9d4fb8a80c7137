"""A command's line: its flags, the overrides of a config, its help, and one line about what is wrong with them."""

import difflib
import re
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict, config_flags

from reeval.bucket import is_url

# Flags without a value: what follows one is no part of it.
SWITCHES = {"--allow_remote", "--classifiers", "--grammar", "--json", "--nogrammar", "--search", "--strict"}
SWITCHES |= {"--with_text"}


class Help(Exception):
    """Carries a command's help text to `main`."""


def joined(arguments: list[str]) -> list[str]:
    """`--name value` and `-name=value` as `--name=value`, with underscores for hyphens in names."""
    found: list[str] = []
    for argument in arguments:
        if argument.startswith("--") and not argument.startswith("--config."):
            name, equals, value = argument.partition("=")
            argument = f"--{name[2:].replace('-', '_')}{equals}{value}"
        opened = found[1:] and found[-1].startswith("--") and "=" not in found[-1] and found[-1] not in SWITCHES
        if opened and not argument.startswith("-"):
            found[-1] += f"={argument}"
        elif argument.startswith("-") and argument[1:2].isalpha() and argument != "-h":
            found.append(f"-{argument}")
        else:
            found.append(argument)
    return found


def with_config(argv: Sequence[str], command: Callable[..., None], values: flags.FlagValues) -> None:
    if asks_for_help(argv):
        flags.DEFINE_string("config", None, "A file of configs/.", flag_values=values)
        parse(values, argv, command)
    paths = [argument.partition("=")[2] for argument in argv if argument.startswith("--config=")]
    if len(paths) != 1:
        raise ValueError(f"flag --config is {'given twice' if paths else 'missing'}, e.g. --config=configs/tiny.py")
    config = _read_config(paths[0])
    _check_overrides(paths[0], config, argv)
    overrides = [argument for argument in argv if not argument.startswith("--config=")]
    # The flag library looks for overrides in sys.argv unless it is told otherwise.
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=["reeval", *overrides])
    parse(values, overrides, command)


def _read_config(path: str) -> ConfigDict:
    if not Path(path).is_file():
        raise ValueError(f"--config={path}: no such file; give one such as configs/tiny.py")
    try:
        config = runpy.run_path(path)["get_config"]()
    except Exception as error:
        raise ValueError(f"{path}: no usable config ({type(error).__name__}: {error})") from None
    if not isinstance(config, ConfigDict):
        raise ValueError(f"{path}: no usable config (get_config() gives a {type(config).__name__}, not a ConfigDict)")
    return config


def _check_overrides(path: str, config: ConfigDict, argv: Sequence[str]) -> None:
    """Name a field that the config does not have, which the flag library would report as a bare key."""
    known = list(flatten_dict(config.to_dict(), sep="."))
    for argument in argv:
        override = re.match(r"--(?:no)?config\.([^=]*)", argument)
        name = override[1] if override else known[0]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"{path}: has no field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def asks_for_help(argv: Sequence[str]) -> bool:
    return "--help" in argv or "-h" in argv


def parse(
    values: flags.FlagValues, argv: Sequence[str], command: Callable[..., None], *, positional: int = 0
) -> list[str]:
    """Set the flags; gives the arguments that are none, of which there may be `positional`."""
    if asks_for_help(argv):
        lines = [f"  --{name}: {values[name].help}" for name in values if name not in ("flagfile", "undefok")]
        override = ["  --config.FIELD=VALUE: override a field of the config."] if "config" in values else []
        raise Help("\n".join([str(command.__doc__), "", *lines, *override]))
    try:
        rest = values([command.__name__, *argv])
    except (flags.Error, AttributeError, KeyError, TypeError) as error:
        missing = re.search(r"Flag (--\w+) must have a value other than None", str(error))
        raise ValueError(f"flag {missing[1]} is missing" if missing else " ".join(str(error).split())) from None
    if rest[1 + positional :]:
        raise ValueError(f"unexpected argument {rest[1 + positional]!r}; flags have the form --name=value")
    for name in ("workdir", "out"):
        if name in values and not values[name].value:
            kind = "directory" if "directory" in values[name].help else "file"
            raise ValueError(f"flag --{name} is empty; give a {kind}")
        if name == "out" and name in values and is_url(str(values[name].value)):
            raise ValueError(f"--out={values[name].value}: must be a path of this machine")
    return rest[1:]
