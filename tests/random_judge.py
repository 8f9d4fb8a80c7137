"""A random judge for tests, of either family: a checkpoint directory with a small tokenizer, made without torch.

Qwen3's has a byte-level tokenizer. Gemma 3's is a whole multimodal directory as transformers 4 writes it, with a
tokenizer and chat template of Gemma 3's kind; windows are shorter than conversations.
"""

import json
from pathlib import Path

import gemma3_tokenizer
import numpy as np
import random_gemma3
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from reeval.pairs import Error, Pair
from reeval.taxonomy import ASPECTS, TYPES

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FAMILIES = ("qwen3", "gemma3")
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
_IMAGE_SIZE, _TOKENS_PER_IMAGE = 12, 4
_TEXT = SHAPE | {
    "model_type": "gemma3_text",
    "num_hidden_layers": 3,
    "query_pre_attn_scalar": 12,
    "sliding_window": 40,
    "sliding_window_pattern": 2,
    "rope_theta": 1e5,
    "rope_local_base_freq": 1e4,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    "max_position_embeddings": 2048,
}
_VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_channels": 3,
    "image_size": _IMAGE_SIZE,
    "patch_size": 3,
    "layer_norm_eps": 1e-6,
    "vision_use_head": False,
}


def write_judge(directory: Path, *, family: str = "qwen3", seed: int = 0, **shape: int) -> Path:
    """A directory that `hf.load_model` and `hf.load_tokenizer` read; `shape` overrides fields of the decoder."""
    directory.mkdir(parents=True, exist_ok=True)
    write = {"qwen3": _write_qwen3, "gemma3": _write_gemma3}[family]
    write(directory, shape, np.random.default_rng(seed))
    return directory


def _write_qwen3(directory: Path, shape: dict[str, int], noise: np.random.Generator) -> None:
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(directory)
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": len(tokenizer),
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "attention_bias": False,
        "max_position_embeddings": 2048,
        "eos_token_id": tokenizer.eos_token_id,
        "dtype": "float32",
    } | (SHAPE | shape)
    (directory / "config.json").write_text(json.dumps(config))
    save_file(_weights(config, noise), directory / "model.safetensors", {"format": "pt"})


def _write_gemma3(directory: Path, shape: dict[str, int], noise: np.random.Generator) -> None:
    tokenizer = gemma3_tokenizer.write(directory, image_size=_IMAGE_SIZE, tokens_per_image=_TOKENS_PER_IMAGE)
    config = gemma3_tokenizer.config(tokenizer, _TEXT | shape, _VISION, _TOKENS_PER_IMAGE, version="4.50.0")
    held = random_gemma3.tensors(config)
    # As dull as the other family's at first, so that training has something to do; norms are about 1 + w here.
    dull = {name: noise.normal(size=t.shape) * 0.05 for name, t in held.items() if name.startswith("language_model.")}
    random_gemma3.write(directory, config, held | {name: t.astype(np.float32) for name, t in dull.items()})


def pairs(count: int, *, seed: int = 0) -> list[Pair]:
    """Labelled pairs of random words: enough to train on, of every kind that the pipeline tells apart."""
    rng = np.random.default_rng(seed)
    words = ["lungs", "clear", "small", "large", "right", "left", "effusion", "opacity", "heart", "normal", "no"]
    made = []
    for i in range(count):
        reference = list(rng.choice(words, size=rng.integers(5, 14)))
        candidate, errors = list(reference), []
        if i % 4:
            at = int(rng.integers(len(words) // 4))
            candidate[at] = str(rng.choice([w for w in words if w != candidate[at]]))
            severity = "significant" if i % 2 else "insignificant"
            aspect, kind = ASPECTS[i % len(ASPECTS)], TYPES[2]
            errors.append(Error(kind, aspect, str(reference[at]), candidate[at], severity))
        made.append(Pair(f"p{i}", f"r{i // 2}", " ".join(reference), " ".join(candidate), tuple(errors)))
    return made


def _tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core.train_from_iterator(
        ["significant insignificant inaccuracy reference candidate errors severities right left"] * 2,
        trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=special[1:2]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _weights(config: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    D, F, H = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    N, K = config["num_attention_heads"], config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], D), "model.norm.weight": (D,)}
    for i in range(config["num_hidden_layers"]):
        shapes |= {
            f"model.layers.{i}.{name}.weight": shape
            for name, shape in {
                "input_layernorm": (D,),
                "post_attention_layernorm": (D,),
                "self_attn.q_proj": (N * H, D),
                "self_attn.k_proj": (K * H, D),
                "self_attn.v_proj": (K * H, D),
                "self_attn.o_proj": (D, N * H),
                "self_attn.q_norm": (H,),
                "self_attn.k_norm": (H,),
                "mlp.gate_proj": (F, D),
                "mlp.up_proj": (F, D),
                "mlp.down_proj": (D, F),
            }.items()
        }
    # Matrices around zero, the scales of norms around one.
    return {
        name: (rng.normal(size=shape) * 0.05 + (len(shape) == 1)).astype(np.float32) for name, shape in shapes.items()
    }
