"""Hugging Face checkpoints, in and out."""

from reeval.hf.load import load_model
from reeval.hf.names import load_config, module_name

__all__ = ["load_config", "load_model", "module_name"]
