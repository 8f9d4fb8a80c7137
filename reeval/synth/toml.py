"""The data of this package that stands in TOML files beside its code."""

import functools
import tomllib
from importlib import resources
from typing import Any


def read(path: str) -> dict[str, Any]:
    """A file by its path under this package, as "injectors/count.toml"."""
    return tomllib.loads(resources.files(__package__).joinpath(path).read_text(encoding="utf-8"))


@functools.cache
def table(path: str) -> dict[str, Any]:
    """The same, read once and shared by all: nobody changes it."""
    return read(path)
