"""Ports of the judges' base models, by the `model_type` of their checkpoints."""

import dataclasses
from typing import Any

from reeval.models.gemma3 import Gemma3, Gemma3Config
from reeval.models.medgemma import MedGemma, MedGemmaConfig
from reeval.models.qwen3 import Qwen3, Qwen3Config

PORTS: dict[str, tuple[type, type]] = {
    "qwen3": (Qwen3Config, Qwen3),
    "gemma3_text": (Gemma3Config, Gemma3),
    "gemma3": (MedGemmaConfig, MedGemma),
}


def port_of(config: Any) -> type:
    """The port of a config."""
    return next(port for kind, port in PORTS.values() if type(config) is kind)


def without_images(config: Any) -> Any:
    """The config of a model's decoder alone, which is all of it where there is no vision tower."""
    if type(config) is not MedGemmaConfig:
        return config
    fields = (field.name for field in dataclasses.fields(Gemma3Config))
    return Gemma3Config(**{name: getattr(config, name) for name in fields})


__all__ = [
    "PORTS",
    "Gemma3",
    "Gemma3Config",
    "MedGemma",
    "MedGemmaConfig",
    "Qwen3",
    "Qwen3Config",
    "port_of",
    "without_images",
]
