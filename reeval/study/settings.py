"""What a study's config holds, and the evaluators that it names."""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval.evaluators import kinds
from reeval.evaluators.evaluator import Evaluator
from reeval.pairs import Pair
from reeval.settings import Field

FIELDS: Mapping[str, Field] = {
    "pairs": Field(str),
    # Where answers of endpoints are kept, for any run; "" for the working directory's own.
    "cache": Field(str),
    "seed": Field(int, least=0, below=2**31),
    # Of the bootstrap, and of permutation tests.
    "resamples": Field(int, least=100),
    "permutations": Field(int, least=100),
    "confidence": Field(float, above=0.5, below=1),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PASSES = ("one_pass", "two_pass")


def check(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config as plain values, with the defaults of what its evaluators leave out.

    Raises:
        ValueError: naming the first field that is wrong.
    """
    for name in config:
        if name not in FIELDS and name != "evaluators":
            raise ValueError(f"config has an unknown field {name!r}{_near(name, [*FIELDS, 'evaluators'])}")
    checked = {name: _checked(f"config.{name}", field, config, name) for name, field in FIELDS.items()}
    evaluators = config.get("evaluators")
    if not hasattr(evaluators, "items") or not evaluators:
        raise ValueError("config.evaluators must have at least one evaluator, by its name")
    assert evaluators is not None
    for name in evaluators:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"config.evaluators: {name!r} is no name; it may have letters, digits, dots, hyphens and underscores"
            )
    twice = len({name.casefold() for name in evaluators}) < len(evaluators)
    if twice:  # some file systems take both for one directory
        raise ValueError("config.evaluators: two names differ only in capitals")
    return checked | {"evaluators": {name: _evaluator(name, given) for name, given in evaluators.items()}}


def evaluators(checked: Mapping[str, Any], pairs: Sequence[Pair], workdir: Path) -> dict[str, Evaluator]:
    """The evaluators of a checked config, by name. Raises ValueError for the first that cannot be made."""
    cache = Path(checked["cache"]) if checked["cache"] else workdir / "cache"
    made = {}
    for name, settings in checked["evaluators"].items():
        try:
            made[name] = kinds.KINDS[settings["kind"]].make(settings, pairs, cache)
        except ValueError as error:
            raise ValueError(f"evaluator {name}: {error}") from None
    return made


def _evaluator(name: str, given: Any) -> dict[str, Any]:
    where = f"config.evaluators.{name}"
    if not hasattr(given, "items"):
        raise ValueError(f"{where} must have fields")
    kind = given.get("kind")
    if kind not in kinds.KINDS:
        raise ValueError(f"{where}.kind={kind!r} is not one of {', '.join(kinds.KINDS)}")
    table = kinds.KINDS[kind]
    for field in given:
        if field not in (*table.fields, "kind", *(["modes"] if table.passes else [])):
            raise ValueError(f"{where} has an unknown field {field!r}{_near(field, [*table.fields, 'modes'])}")
    known = dict(table.defaults) | {field: given[field] for field in given}
    checked = {field: _checked(f"{where}.{field}", table.fields[field], known, field) for field in table.fields}
    if table.passes:
        checked["modes"] = _modes(f"{where}.modes", given.get("modes", _PASSES))
    return {"kind": kind, **checked}


def _modes(where: str, value: Any) -> tuple[str, ...]:
    right = isinstance(value, tuple | list) and value and all(mode in _PASSES for mode in value)
    if not right or len(set(value)) < len(value):
        raise ValueError(f"{where}={value!r} must be ('one_pass', 'two_pass') or one of them, as a tuple")
    return tuple(value)


def _checked(where: str, field: Field, given: Mapping[str, Any], name: str) -> Any:
    if name not in given:
        raise ValueError(f"{where} is missing")
    value = given[name]
    problem = field.problem(value)
    if problem:
        # A number that is none shows as it is; text may be anything, but it is the user's own config.
        raise ValueError(f"{where}={value!r} {problem}")
    if field.kind is float:
        assert math.isfinite(value)
        return float(value)
    return tuple(value) if field.kind is tuple else value


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
