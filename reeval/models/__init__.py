"""Ports of the judges' base models, by the `model_type` of their checkpoints."""

from reeval.models.qwen3 import Qwen3, Qwen3Config

PORTS = {"qwen3": (Qwen3Config, Qwen3)}

__all__ = ["PORTS", "Qwen3", "Qwen3Config"]
