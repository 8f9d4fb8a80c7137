"""Preferences: of a pair, verdicts that are better than others; the records that preference training learns from.

A preference file is JSON Lines, one object a line:

    {"pair_id": "s1-a", "mode": "two_pass", "kind": "severity", "chosen": ["...", "..."], "rejected": ["...", "..."],
     "made_by": {"any": "thing"}}

`chosen` and `rejected` are the answers of each turn, one in one-pass mode and two in two-pass. Messages about bad input
name file, line and field, never an answer: answers quote reports.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

MODES = {"one_pass": (1,), "two_pass": (1, 2)}
KINDS = ("severity", "invented", "dropped", "sampled")


@dataclasses.dataclass(frozen=True, slots=True)
class Preference:
    """`kind` is what is wrong with the rejected verdict, or that the judge itself gave it."""

    pair_id: str
    mode: str
    kind: str
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    made_by: dict[str, Any]


def read(path: str | Path) -> list[Preference]:
    """The preferences of a file.

    Raises:
        ValueError: naming file and line of the first that is wrong, or if there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such preference file; `reeval prefs` makes one")
    found = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                found.append(_read(line, f"{path}:{number}"))
    if not found:
        raise ValueError(f"{path}: holds no preference; `reeval prefs` makes them")
    return found


def _read(line: bytes, where: str) -> Preference:
    try:
        row = json.loads(line)
        # Half of a surrogate pair, which JSON may hold, is no text that a tokenizer takes.
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeError:
        raise ValueError(f"{where}: holds what is no text; save the file as UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{where}: is no JSON object") from None
    names = [field.name for field in dataclasses.fields(Preference)]
    if not isinstance(row, dict) or sorted(row) != sorted(names):
        raise ValueError(f"{where}: must be an object with {', '.join(names)}")
    for name, known in (("mode", tuple(MODES)), ("kind", KINDS)):
        if row[name] not in known:
            raise ValueError(f"{where}: {name} is not one of {', '.join(known)}")
    if not isinstance(row["pair_id"], str) or not isinstance(row["made_by"], dict):
        raise ValueError(f"{where}: pair_id must be text, made_by an object")
    for name in ("chosen", "rejected"):
        answers = row[name]
        if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
            raise ValueError(f"{where}: {name} must be a list of texts")
        if len(answers) not in MODES[row["mode"]]:
            raise ValueError(f"{where}: {name} has {len(answers)} answers, which are not those of {row['mode']}")
    if row["chosen"] == row["rejected"]:
        raise ValueError(f"{where}: chosen and rejected are the same")
    return Preference(**{**row, "chosen": tuple(row["chosen"]), "rejected": tuple(row["rejected"])})
