"""The table of a run's fields: every one is read by the code, and every config has them all and no other."""

import ast
import dataclasses
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs import embedded_judge, tiny
from reeval import settings
from reeval.from_scratch.data import DataOptions
from reeval.lora import LoRAConfig
from reeval.models.qwen3 import Qwen3Config
from reeval.study import settings as study

ROOT = Path(__file__).parents[1]
SECTIONS = {name.partition(".")[0] for name in settings.FIELDS}


def chain(node: ast.AST) -> str | None:
    """`self.config.train.steps` as that text, None for anything but names and dots."""
    if isinstance(node, ast.Attribute):
        before = chain(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def assigned(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(name, section) of `c = config.train`, alone or in a tuple."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.Name):
            several = isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
            targets = node.targets[0].elts if several else [node.targets[0]]
            values = node.value.elts if several else [node.value]
            for target, value in zip(targets, values, strict=True):
                text = chain(value) or ""
                if isinstance(target, ast.Name) and text.split(".")[-2:][0] == "config":
                    yield target.id, text.split(".")[-1]


def read(source: str) -> set[str]:
    """The fields that a module reads: as `config.a.b`, as `c.b` after `c = config.a`, and as `**config.a`."""
    tree = ast.parse(source)
    fields = set()
    for scope in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        names = dict(assigned(scope))
        for node in ast.walk(scope):
            text = chain(node) or ""
            head, _, tail = text.partition("config.")
            if tail and head in ("", "self."):
                fields.add(tail)
            if text.count(".") == 1 and text.split(".")[0] in names:
                fields.add(f"{names[text.split('.')[0]]}.{text.split('.')[1]}")
            if isinstance(node, ast.Call):
                fields |= {f"{s}.**" for k in node.keywords if k.arg is None and (s := _section(k.value))}
    return fields


def _section(node: ast.AST) -> str | None:
    text = (chain(node) or "").removeprefix("self.")
    return text.removeprefix("config.") if text.removeprefix("config.") in SECTIONS and "." in text else None


def unread(fields: dict[str, settings.Field], sources: list[str]) -> list[str]:
    found = set().union(*map(read, sources))
    for section, made in (("lora", LoRAConfig), ("model", Qwen3Config), ("data", DataOptions)):
        if f"{section}.**" in found:
            found |= {f"{section}.{field.name}" for field in dataclasses.fields(made)}
    return sorted(set(fields) - found)


def sources(*, from_scratch: bool = False) -> list[str]:
    # Not the table itself. Training from scratch has fields of its own, read by it alone but for what every run has.
    paths = [p for p in (ROOT / "reeval").rglob("*.py") if p.name != "settings.py"]
    shared = {ROOT / "reeval" / name for name in ("cli.py", "run.py", "train/loop.py")}
    return [p.read_text() for p in paths if ("from_scratch" in p.parts) == from_scratch or p in shared]


def test_every_field_is_read() -> None:
    assert unread(settings.FIELDS, sources()) == []


def test_every_field_of_training_from_scratch_is_read() -> None:
    assert unread(settings.FROM_SCRATCH, sources(from_scratch=True)) == []


@pytest.mark.parametrize("field", ["train.unread", "lora.unread", "unread"])
def test_a_field_that_nobody_reads_is_found(field: str) -> None:
    assert unread(settings.FIELDS | {field: settings.Field(int)}, sources()) == [field]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=lambda path: path.stem)
def test_every_config_is_valid(path: Path) -> None:
    config = runpy.run_path(str(path))["get_config"]()
    if "evaluators" in config:
        study.check(config)
    else:
        settings.check(config, tunings=settings.TUNINGS)


def test_a_command_says_what_it_is_not_for() -> None:
    with pytest.raises(ValueError, match="^config.tuning='from_scratch' is not what this command is for: lora or full"):
        settings.check(embedded_judge.get_config())
    with pytest.raises(ValueError, match="^config.tuning='lora' is not what this command is for: from_scratch"):
        settings.check(tiny.get_config(), tunings=["from_scratch"])


@pytest.mark.parametrize(("field", "value"), [("dtype", "bfloat16"), ("quantized", "int8")])
def test_training_all_weights_takes_float32(field: str, value: str) -> None:
    config = tiny.get_config()
    config.tuning = "full"
    settings.check(config)
    config.model[field] = value
    with pytest.raises(ValueError, match=r"config\.model\.dtype='float32' and config\.model\.quantized='none'"):
        settings.check(config)


@pytest.mark.parametrize(
    "stages", [(), ((0.5, 1),), ((0.5, 1), (0.5, 1), (1, 1)), ((0.5, 1), (1, 1, 1)), ((1, "1"),), ((1,),)]
)
def test_stages_have_to_cover_the_run(stages: object) -> None:
    config = embedded_judge.get_config()
    config.data.varied = stages
    with pytest.raises(ValueError, match=r"^config\.data\.varied=.* must be rows of as many numbers each"):
        settings.check(config, tunings=["from_scratch"])


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("train.steps", "300", "config.train.steps='300' must be a whole number"),
        ("train.steps", True, "config.train.steps=True must be a whole number"),
        ("train.steps", 3.0, "config.train.steps=3.0 must be a whole number"),
        ("lora.rslora", 1, "config.lora.rslora=1 must be True or False"),
        ("train.clip_norm", float("inf"), "config.train.clip_norm=inf must be a finite number"),
        ("mesh", (1, "2", 1), r"config.mesh=\(1, '2', 1\) must be a tuple of whole numbers"),
        ("model.path", None, "config.model.path=None must be text"),
        ("data.two_pass_share", -0.1, "config.data.two_pass_share=-0.1 must be at least 0 and at most 1"),
        ("tuning", "whole", "config.tuning='whole' is not one of lora, full"),
        ("train.typo", 1, "config has an unknown field 'train.typo'"),
        ("data", 3, "config has an unknown field 'data'"),
    ],
)
def test_a_wrong_value_is_named(field: str, value: object, says: str) -> None:
    config = tiny.get_config().to_dict()
    *sections, name = field.split(".")
    inner = config
    for section in sections:
        inner = inner[section]
    inner[name] = value
    with pytest.raises(ValueError, match=f"^{says}"):
        settings.check(config)


def test_what_a_range_includes() -> None:
    field = settings.Field(float, least=0, below=1)
    assert field.problem(0) is field.problem(0.0) is field.problem(0.999) is None
    assert field.problem(1.0) == field.problem(-0.001) == "must be at least 0 and below 1"
