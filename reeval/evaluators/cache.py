"""Answers of endpoints by the content of their questions, for any run: one file an answer, readable by its owner alone.

A file each, because several runs may write at once, on whatever file system.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reeval.chat.client import Answer
from reeval.files import write_atomically

_FIELDS = {field.name for field in dataclasses.fields(Answer)}


class Cache:
    """Threads and processes may share its directory."""

    def __init__(self, directory: Path):
        self._directory = directory

    @staticmethod
    def key(question: Mapping[str, Any]) -> str:
        """Of all that decides an answer."""
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()

    def get(self, key: str) -> Answer | None:
        """What was answered; None where nothing was, or what lies there is damaged."""
        try:
            row = json.loads(self._path(key).read_text(encoding="utf-8"))
            return Answer(**row) if row.keys() == _FIELDS and isinstance(row["text"], str) else None
        except (OSError, ValueError, AttributeError, TypeError):
            return None

    def put(self, key: str, answer: Answer) -> None:
        """Raises OSError."""
        path = self._path(key)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, json.dumps(dataclasses.asdict(answer)))

    def _path(self, key: str) -> Path:
        return self._directory / key[:2] / f"{key}.json"
