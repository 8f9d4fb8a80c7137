"""The data of the generator: vocabulary that all splits share, and phrases that belong to one split each."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth import toml
from reeval.synth.generator.grammar import Template

SPLITS = ("pretrain", "train", "heldout")
_PHRASE_FILES = ("frames", "own", "normals", "devices", "closing")


def catalogue(name: str) -> dict[str, Any]:
    """`findings`, `devices` or `scenarios`, as the file has it."""
    return toml.table(f"generator/{name}.toml")


def terms() -> Mapping[str, list[str]]:
    """Names of what can be absent, by the key of a normal statement's claim."""
    return catalogue("phrases/normals")["terms"]


@functools.cache
def normals() -> dict[str, tuple[str, frozenset[str]]]:
    """Normal statement -> the organ that it stands with, and what it claims."""
    entries = catalogue("phrases/normals")
    return {name: (entry["organ"], frozenset(entry["claims"])) for name, entry in entries.items() if name != "terms"}


@functools.cache
def phrases(split: str) -> Mapping[str, tuple[Template, ...]]:
    """ "file.kind" or "file.kind.case" -> the templates of one split."""
    found: dict[str, tuple[Template, ...]] = {}
    for file in _PHRASE_FILES:
        for key, entry in _entries(file, catalogue(f"phrases/{file}")):
            found[key] = tuple(Template.parse(text) for text in entry[split])
    return found


def _entries(key: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, list[str]]]]:
    if "train" in entry:
        missing = [split for split in SPLITS if not entry.get(split)]
        assert not missing, f"phrases {key} have none for {missing}"
        yield key, entry
    elif key != "normals.terms":
        for name, part in entry.items():
            yield from _entries(f"{key}.{name}", part)
