"""The data of the generator: vocabulary that all splits share, and phrases that belong to one split each."""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from reeval.synth.generator.grammar import Template

SPLITS = ("pretrain", "train", "heldout")
_PHRASE_FILES = ("frames", "own", "normals", "devices", "closing")


def _load(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tomllib.loads(text)


@functools.cache
def catalogue(name: str) -> dict[str, Any]:
    """`findings`, `devices` or `scenarios`, as the file has it."""
    return _load(f"{name}.toml")


@functools.cache
def terms() -> dict[str, list[str]]:
    """Names of what can be absent, by the key of a normal statement's claim."""
    return dict(_load("phrases/normals.toml")["terms"])


@functools.cache
def normals() -> dict[str, tuple[str, frozenset[str]]]:
    """Normal statement -> the organ that it stands with, and what it claims."""
    entries = _load("phrases/normals.toml")
    return {name: (entry["organ"], frozenset(entry["claims"])) for name, entry in entries.items() if name != "terms"}


@functools.cache
def phrases(split: str) -> Mapping[str, tuple[Template, ...]]:
    """ "file.kind" or "file.kind.case" -> the templates of one split."""
    found: dict[str, tuple[Template, ...]] = {}
    for file in _PHRASE_FILES:
        for key, entry in _entries(file, _load(f"phrases/{file}.toml")):
            found[key] = tuple(Template.parse(text) for text in entry[split])
    return found


def _entries(key: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, list[str]]]]:
    if "train" in table:
        missing = [split for split in SPLITS if not table.get(split)]
        assert not missing, f"phrases {key} have none for {missing}"
        yield key, table
    elif key != "normals.terms":
        for name, entry in table.items():
            yield from _entries(f"{key}.{name}", entry)
