"""The tokenizer of a checkpoint directory."""

import os
import sys
from pathlib import Path
from typing import Any

# All that a directory may hold of a tokenizer or processor, and the licence, which goes with the weights.
FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "LICENSE",
    "NOTICE",
)


def load_tokenizer(path: str | Path) -> Any:
    """The transformers tokenizer of a local directory; never asks the network.

    Raises:
        ValueError: one line, if there is none, it cannot be read or it has no chat template.
    """
    # Costly to import, and not needed for weights. That it misses torch is no news: only its tokenizers are wanted.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from transformers import AutoTokenizer

    directory = Path(path)
    if not directory.is_dir():
        raise ValueError(f"{directory}: not a directory; give a local Hugging Face model directory")
    if not (directory / "tokenizer.json").is_file():
        raise ValueError(f"{directory}: no tokenizer.json; fetch the tokenizer's files too")
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever the Rust reader raises for a damaged file
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{directory}: the tokenizer cannot be read ({reason}); fetch its files again") from None
    if not tokenizer.chat_template:
        raise ValueError(f"{directory}: the tokenizer has no chat template; a judge needs an instruction-tuned model")
    # What fits is decided by the model's positions; the tokenizer's own limit would only warn of what does not happen.
    tokenizer.model_max_length = sys.maxsize
    return tokenizer
