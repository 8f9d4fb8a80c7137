"""Small tokenizers of each kind that models have, of a vocabulary that a test chooses, and awkward tokens to choose."""

from collections.abc import Iterable, Sequence
from typing import Any

from random_judge import CHAT_TEMPLATE
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Tokens that stand across the borders of the format, hold halves of characters, or what str.strip and str.splitlines
# take for more than it is.
AWKWARD = [
    *(
        '" | sig',
        '" | ins',
        "| significant",
        " significant",
        "| ",
        ' | "',
        '" => "',
        '" => ""',
        ' "',
        '""',
        '"\n',
        " |",
    ),
    *(
        "significant\n",
        "insignificant\n",
        "nificant",
        "insign",
        "si",
        "s",
        "i",
        "significant\ninsignificant",
        "ant\nin",
    ),
    *(
        'nt\nomission | count | "',
        "none",
        "none ",
        "none\n",
        " none",
        "\n",
        "\n\n",
        " ",
        "  ",
        "\t",
        "\r\n",
        "\\n",
        "\\",
    ),
    *(
        '\\"',
        "\\\\",
        "\x00",
        "a\x00",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x85",
        "\u2028",
        "\u2029",
        "\ufeff",
        "\u00a0",
        "omission",
    ),
    *("fabrication | ", "inaccuracy |", "count", "| laterality |", "effusion", "Größe", "胸", "e\u0301", "\u0301", "▁"),
]
HALVES = [b"\xe2\x82", b"\xac", b'\xac"', b"\xe8\x83", b"\xed\xa0\x80", b"\xc0\x80", b"\xf0\x9f", b'"\xe2', b"\xff"]


def byte_level(
    tokens: Iterable[bytes] = (),
    *,
    bytes_of: Iterable[int] = range(256),
    decoder: Any = None,
    added: Sequence[Any] = (),
) -> PreTrainedTokenizerFast:
    """Single bytes and these tokens; a text is tokenised to bytes."""
    alphabet = _byte_alphabet()
    pieces = ["".join(alphabet[byte] for byte in token) for token in [*(bytes([b]) for b in bytes_of), *tokens]]
    core = Tokenizer(models.BPE({piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoder or decoders.ByteLevel()
    return _finished(core, added)


def sentence_piece(
    tokens: Iterable[str] = (), *, prefix: bool = False, decoder: Any = None, added: Sequence[Any] = ()
) -> PreTrainedTokenizerFast:
    """Letters, byte tokens and these tokens; with `prefix`, texts get a space before, as Llama's do."""
    pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), *(chr(code) for code in range(33, 127)), "▁"]
    pieces += [token.replace(" ", "▁") for token in tokens]
    core = Tokenizer(models.BPE({piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, [], byte_fallback=True))
    spaces = normalizers.Replace(" ", "▁")
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    core.decoder = decoder or decoders.Sequence(parts)
    return _finished(core, added)


def _finished(core: Tokenizer, added: Sequence[Any]) -> PreTrainedTokenizerFast:
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    core.add_tokens([AddedToken(token, special=False, normalized=False) for token in added])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=SPECIAL[2], pad_token=SPECIAL[0])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _byte_alphabet() -> dict[int, str]:
    """As the tokenizers library writes bytes; those that no text has are printable and stand for themselves."""
    writer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    written = {byte: chr(byte) for byte in range(256)}
    for code in [*range(0x800), *range(0x800, 0xD800, 0x100), *range(0xE000, 0x110000, 0x1000)]:
        written.update(zip(chr(code).encode(), writer.pre_tokenize_str(chr(code))[0][0], strict=True))
    assert set(written.values()) == set(pre_tokenizers.ByteLevel.alphabet())
    return written
