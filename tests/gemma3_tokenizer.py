"""A small tokenizer and image processor of Gemma 3's kind, made without torch and without Google's files.

Of transformers' own classes, so that a directory is read the way a real one is: spaces written as "▁", bytes where a
character has no piece, turn tokens that are special but not among `all_special_ids`, and added tokens that are plain
text (`<b>`, runs of line breaks).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AddedToken, GemmaTokenizer

# The messages of a judge as Gemma 3's own template writes them: system words join the first user turn, the assistant is
# called "model", every text is trimmed, and content may be a list of parts.
CHAT_TEMPLATE = """{{ bos_token }}
{%- set start = 1 if messages[0].role == 'system' else 0 -%}
{%- for m in messages[start:] -%}
    {{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' }}
    {%- if start and loop.first -%}{{ messages[0].content | trim + '\\n\\n' }}{%- endif -%}
    {%- for part in ([{'type': 'text', 'text': m.content}] if m.content is string else m.content) -%}
        {{ '<start_of_image>' if part.type == 'image' else part.text | trim }}
    {%- endfor -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{{ '<start_of_turn>model\\n' if add_generation_prompt }}"""

_NAMED = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
_TURNS = ["<start_of_turn>", "<end_of_turn>"]
IMAGE_TOKENS = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
_PLAIN = ["<b>", "</b>", "<unused0>", "\n\n", "\n\n\n", "▁▁"]
_WORDS = "significant insignificant inaccuracy reference candidate errors severities right left small effusion lungs"


def gemma3_tokenizer(words: Sequence[str] = (_WORDS,)) -> GemmaTokenizer:
    """A tokenizer whose longer pieces are those of `words`."""
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Replace(" ", "▁")
    core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # no piece runs over a space
    alphabet = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
    core.train_from_iterator(
        [*words] * 2, trainers.BpeTrainer(vocab_size=288, initial_alphabet=alphabet, show_progress=False)
    )
    trained = json.loads(core.to_str())["model"]
    pieces = [
        *_NAMED,
        *_TURNS,
        *IMAGE_TOKENS.values(),
        *_PLAIN,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *sorted(trained["vocab"], key=trained["vocab"].get),
    ]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    merges = [tuple(merge) for merge in trained["merges"]]
    tokenizer = GemmaTokenizer(vocab=vocab, merges=merges, extra_special_tokens=IMAGE_TOKENS)
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in _TURNS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in _PLAIN])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def write(directory: Path, *, image_size: int = 28, tokens_per_image: int = 4) -> GemmaTokenizer:
    """Write the tokenizer and the processor's configs; gives the tokenizer, whose ids config.json has to name.

    Args:
        image_size: the side of the image that the vision tower takes, in pixels.
        tokens_per_image: how many tokens an image becomes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = gemma3_tokenizer()
    tokenizer.save_pretrained(directory)
    preprocessor = {
        "image_processor_type": "Gemma3ImageProcessor",
        "processor_class": "Gemma3Processor",
        "do_convert_rgb": None,
        "do_normalize": True,
        "do_pan_and_scan": None,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_seq_length": tokens_per_image,
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": image_size, "width": image_size},
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2))
    processor = {"processor_class": "Gemma3Processor", "image_seq_length": tokens_per_image}
    (directory / "processor_config.json").write_text(json.dumps(processor, indent=2))
    return tokenizer


def config(
    tokenizer: Any, text: dict[str, Any], vision: dict[str, Any], tokens_per_image: int, *, version: str
) -> dict[str, Any]:
    """The config.json of a multimodal model with this tokenizer, as this version of transformers calls itself."""
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "transformers_version": version,
        "boi_token_index": tokenizer.boi_token_id,
        "eoi_token_index": tokenizer.eoi_token_id,
        "image_token_index": tokenizer.image_token_id,
        "eos_token_id": [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")],
        "mm_tokens_per_image": tokens_per_image,
        "text_config": {"vocab_size": len(tokenizer)} | text,
        "vision_config": vision,
    }
