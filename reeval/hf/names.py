"""From a checkpoint directory to the port that runs it and the table of its names.

Each family is a module of this package. It has `read_config` and `write_config`; `table`, the names of a config's
tensors, and `TABLE`, all of them; `HEAD`, the entry that tied models lack; `SPELLINGS` of prefixes, and `saved_as`, the
one for a model made here; `UNUSED`, a regex of tensors that a file may hold beyond.
"""

import json
from pathlib import Path
from reprlib import repr as short
from types import ModuleType
from typing import Any

from reeval.hf import gemma3, qwen3
from reeval.models import PORTS

FAMILIES: dict[str, ModuleType] = {"qwen3": qwen3, "gemma3": gemma3, "gemma3_text": gemma3}

CONFIG = "config.json"


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: one line, if it cannot be read or is something else.
    """
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not valid JSON ({error})") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{file}: not a JSON object")
    return raw


def load_config(path: str | Path) -> Any:
    """The config dataclass of the port for a Hugging Face directory.

    Raises:
        ValueError: one line, if it is no such directory or no port of ours expresses its config.
    """
    return open_config(path)[1]


def open_config(path: str | Path) -> tuple[ModuleType, Any]:
    """The family of a directory and its validated config; raises as `load_config` does."""
    directory = Path(path)
    file = directory / CONFIG
    try:
        if not directory.is_dir():
            raise ValueError(f"{directory}: not a directory; give a local Hugging Face model directory")
        if not file.is_file():
            raise ValueError(f"{directory}: no {CONFIG}; is this a Hugging Face model directory?")
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    raw = read_json(file)
    if (model_type := raw.get("model_type")) not in list(FAMILIES):  # a dict would want to hash it
        raise ValueError(f"{file}: model_type {short(model_type)} is not supported; supported: {', '.join(FAMILIES)}")
    if raw.get("quantization_config"):
        raise ValueError(f"{file}: quantized weights are not supported; fetch the unquantized checkpoint")
    family = FAMILIES[model_type]
    try:
        return family, family.read_config(raw)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{file}: a field is of the wrong kind or beyond all bounds ({error})") from None


def max_positions(path: str | Path) -> int | None:
    """How many positions the model of a directory was made for, None where its config does not say."""
    raw = read_json(Path(path) / CONFIG)
    text = raw.get("text_config")
    found = (text if isinstance(text, dict) else raw).get("max_position_embeddings")
    return found if type(found) is int else None


def family_of(model: Any) -> ModuleType:
    """The family of a model of ours."""
    return next(FAMILIES[name] for name, (_, port) in PORTS.items() if type(model) is port)


def module_name(path: str) -> str | None:
    """A projection's Hugging Face name (`self_attn.q_proj`) by its path here (`layers.attn.q`), or None."""
    for family in FAMILIES.values():
        for entry in family.TABLE:
            if entry.path == f"{path}.w":
                return entry.module
    return None
