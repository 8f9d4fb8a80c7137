"""The bytes that each token of a tokenizer stands for."""

import json
import random
import re
from typing import Any

from tokenizers import Tokenizer, models

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_WORD = re.compile(r"\w")
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's sign for a space
_SAMPLES, _TOKENS_OF_A_SAMPLE = 64, 8


def token_bytes(tokenizer: Any, vocab_size: int) -> list[bytes | None]:
    """What each token adds to a text, in bytes; None for tokens that stand for no plain text, and for rows of the
    model's vocabulary beyond the tokenizer's.

    Tokens of byte-level BPE (Qwen3) and of SentencePiece-like BPE with byte tokens (Gemma) are known.

    Args:
        tokenizer: a fast tokenizer of transformers.
        vocab_size: of the model, [V].
    Raises:
        ValueError: for a tokenizer of another kind, of more tokens than the model has, or one whose texts are not what
            its tokens say.
    """
    kinds = {decoder["type"] for decoder in _decoders(tokenizer)}
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
        # Of added tokens, white space that is kept whole is text, such as Gemma's "\n\n"; words between "<" and ">" are
        # for control. A model may lack rows for those that it has no use for, such as Gemma's image token.
        if token in added and (added[token].special or _WORD.search(text)):
            continue
        if token >= vocab_size:
            raise ValueError(
                f"the tokenizer has a token {token}, and the model a vocabulary of {vocab_size}: they do not belong "
                "together; take the tokenizer of the model"
            )
        found[token] = of_text(text) or None
    _compare(tokenizer, found)
    return found


def rewritten(tokenizer: Any) -> str:
    """Characters beside which the decoder of a byte-level tokenizer rewrites text; mostly there are none.

    The embedded judge's takes a space away that follows an opening quote, which it knows by the "|" or ">" before.

    Raises:
        ValueError: for a tokenizer that rewrites anything else.
    """
    decoders = _decoders(tokenizer)
    if all(decoder["type"] != "ByteLevel" for decoder in decoders):
        return ""
    others = [decoder for decoder in decoders if decoder["type"] not in ("ByteLevel", "Fuse")]
    for decoder in others:
        if decoder["type"] != "Replace" or not re.search("[|>]", decoder["pattern"].get("String", "")):
            raise ValueError("the tokenizer rewrites decoded text, which a grammar cannot see; decode freely instead")
    return "|>" if others else ""


def _decoders(tokenizer: Any) -> list[dict[str, Any]]:
    """A tokenizer's decoders in their order, as its file tells them."""
    # Beside an empty model: writing a real one out takes a second.
    alone = Tokenizer(models.BPE())
    if (backend := getattr(tokenizer, "backend_tokenizer", None)) is not None and backend.decoder is not None:
        alone.decoder = backend.decoder
    decoder = json.loads(alone.to_str())["decoder"]
    if decoder is None:
        return []
    return decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]


def _byte_alphabet() -> dict[int, str]:
    """How to turn the characters that byte-level BPE writes bytes with into those bytes, read as Latin-1.

    Printable bytes stand for themselves, the others, in order, for characters from 256 on. Latin-1 of the others is
    turned into a character that is none.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {256 + i: chr(byte) for i, byte in enumerate(others)} | dict.fromkeys(others, "\uffff")


_ALPHABET = _byte_alphabet()


def _byte_level(text: str) -> bytes:
    try:
        return text.translate(_ALPHABET).encode("latin-1")
    except UnicodeEncodeError:  # not in the alphabet: an added token, which stands for itself
        return text.encode()


def _sentence_piece(text: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(text)
    return bytes([int(match[1], 16)]) if match else text.replace(_SPACE, " ").encode()


def _compare(tokenizer: Any, words: list[bytes | None]) -> None:
    """Decode some tokens in a row, to see that they are what they are taken for, but for white space at the ends."""
    choose = random.Random(0)
    whole = [token for token, word in enumerate(words) if word and _is_text(word)]
    for _ in range(_SAMPLES if whole else 0):
        tokens = choose.choices(whole, k=_TOKENS_OF_A_SAMPLE)
        text = b"".join(words[token] or b"" for token in tokens).decode()
        decoded = tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if decoded.strip() != text.strip():
            raise ValueError(
                f"the tokenizer's texts are not what its tokens say (tokens {tokens}); decode freely instead"
            )


def _is_text(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
