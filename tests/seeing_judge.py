"""A random judge that sees images: a small MedGemma checkpoint with Gemma 3's kind of tokenizer, and images for it."""

import dataclasses
from pathlib import Path
from typing import Any

import gemma3_tokenizer
import numpy as np
import random_gemma3
import random_judge
from PIL import Image

from reeval.pairs import Pair

SIDE, TOKENS = 12, 4
_TEXT = {
    "model_type": "gemma3_text",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "query_pre_attn_scalar": 16,
    "sliding_window": 24,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 1e5},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    },
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
}
_VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_channels": 3,
    "image_size": SIDE,
    "patch_size": 3,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": False,
}


def write_judge(directory: Path, *, seed: int = 0, **text: Any) -> Path:
    """A directory of the whole model that hf.load_model, load_tokenizer and load_processor read."""
    tokenizer = gemma3_tokenizer.write(directory, image_size=SIDE, tokens_per_image=TOKENS)
    raw = gemma3_tokenizer.config(tokenizer, _TEXT | text, _VISION, TOKENS, version="5.23.0")
    return random_gemma3.write(directory, raw, random_gemma3.tensors(raw, seed=seed))


def write_image(path: Path, *, seed: int, width: int = 17, height: int = 14) -> Path:
    """A grey image of smooth random patches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4)).astype(np.uint8)
    Image.fromarray(coarse).resize((width, height)).save(path)
    return path


def pairs(directory: Path, count: int, *, seed: int = 0) -> list[Pair]:
    """Random labelled pairs, two of three with an image; pairs of one reference share theirs."""
    made = random_judge.pairs(count, seed=seed)
    for i, pair in enumerate(made):
        if i % 3 != 2:
            path = directory / f"{pair.reference_id}.png"
            if not path.exists():
                write_image(path, seed=1000 * seed + i, width=13 + i % 5)
            made[i] = dataclasses.replace(pair, image=str(path))
    return made
