"""The bytes that each token of a tokenizer stands for."""

import json
import re
from typing import Any

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_WORD = re.compile(r"\w")
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's sign for a space


def token_bytes(tokenizer: Any, vocab_size: int) -> list[bytes | None]:
    """What each token adds to a text, in bytes; None for tokens that stand for no plain text, and for rows of the
    model's vocabulary beyond the tokenizer's.

    Tokens of byte-level BPE (Qwen3) and of SentencePiece-like BPE with byte tokens (Gemma) are known.

    Args:
        tokenizer: a fast tokenizer of transformers.
        vocab_size: of the model, [V].
    Raises:
        ValueError: for a tokenizer of another kind, or of more tokens than the model has.
    """
    known = json.loads(tokenizer.backend_tokenizer.to_str())
    kinds = set(_decoders(known["decoder"]))
    if "ByteLevel" in kinds:
        of_text = _byte_level
    elif "ByteFallback" in kinds:
        of_text = _sentence_piece
    else:
        raise ValueError(
            f"a grammar needs a byte-level or a byte-fallback tokenizer, and this one decodes by {sorted(kinds)}; "
            "decode freely instead"
        )
    added = tokenizer.added_tokens_decoder
    found: list[bytes | None] = [None] * vocab_size
    for text, token in tokenizer.get_vocab().items():
        if token >= vocab_size:
            raise ValueError(f"the tokenizer has token {token}, and the model a vocabulary of {vocab_size}")
        if token not in added:
            found[token] = of_text(text)
        elif not added[token].special and not _WORD.search(text):
            # White space that is kept whole, such as Gemma's "\n\n".
            found[token] = text.replace(_SPACE, " ").encode()
    return [each or None for each in found]


def rewrites_decoded_text(tokenizer: Any) -> bool:
    """Whether the tokenizer changes the text after tokens are put together."""
    kinds = _decoders(json.loads(tokenizer.backend_tokenizer.to_str())["decoder"])
    return "ByteLevel" in kinds and kinds[-1] != "ByteLevel"


def _decoders(decoder: dict[str, Any] | None) -> list[str]:
    """The kinds of a tokenizer's decoders, in their order."""
    if decoder is None:
        return []
    if decoder["type"] == "Sequence":
        return [kind for each in decoder["decoders"] for kind in _decoders(each)]
    return [decoder["type"]]


def _byte_alphabet() -> dict[str, int]:
    """The characters that byte-level BPE writes bytes with: printable ones stand for themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _byte_level(text: str) -> bytes | None:
    return bytes(_ALPHABET[character] for character in text) if all(c in _ALPHABET for c in text) else None


def _sentence_piece(text: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(text)
    return bytes([int(match[1], 16)]) if match else text.replace(_SPACE, " ").encode()
