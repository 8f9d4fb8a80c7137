"""Hugging Face checkpoints, in and out."""

from reeval.hf.adapter import load_adapter, save_adapter
from reeval.hf.card import model_card
from reeval.hf.load import load_model
from reeval.hf.names import load_config, max_positions, module_name
from reeval.hf.processor import load_processor
from reeval.hf.record import read_record
from reeval.hf.save import save_merged, save_model
from reeval.hf.tokenizer import load_tokenizer

__all__ = [
    "load_adapter",
    "load_config",
    "load_model",
    "load_processor",
    "load_tokenizer",
    "max_positions",
    "model_card",
    "module_name",
    "read_record",
    "save_adapter",
    "save_merged",
    "save_model",
]
