"""reeval.json: what an exported judge was trained to be asked, so that scoring needs no other word.

transformers, PEFT and vLLM pass over it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

NAME = "reeval.json"


def write_record(directory: Path, record: Mapping[str, str] | None) -> None:
    """Write a record, if there is one, into a directory that is being made."""
    if record is not None:
        (directory / NAME).write_text(json.dumps(dict(record), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_record(directory: str | Path) -> dict[str, str]:
    """The record of a directory: `prompt` and `format`, the versions of both; empty where there is none.

    Raises:
        ValueError: for a damaged one.
    """
    path = Path(directory) / NAME
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not all(isinstance(value, str) for value in record.values()):
            raise TypeError
    except (ValueError, TypeError):
        raise ValueError(f"{path}: damaged; export the judge anew, or remove the file and give --prompt") from None
    return record
