"""What each token of a tokenizer stands for, against what the tokenizer itself decodes."""

import pytest
from gemma3_tokenizer import gemma3_tokenizer
from small_tokenizers import AWKWARD, HALVES, SPECIAL, byte_level, sentence_piece
from tokenizers import decoders

from reeval import embedded, hf
from reeval.decode.vocabulary import rewritten, token_bytes

TEXTS = [
    "No effusion; heart size 1.5 x normal.",
    "Größe ≥ 2 cm, 胸部 \U0001f600 e\u0301 \u00a0\u0085\u2028",
    "tabs\tand\r\nline\n\nbreaks\n",
    'inaccuracy | size | "a \\"b\\"" => "<0x41> _"',
]
MAKERS = {
    "embedded": lambda: hf.load_tokenizer(embedded.DIRECTORY),
    "gemma3": gemma3_tokenizer,
    "bytes": byte_level,
    "crafted": lambda: byte_level([*(text.encode() for text in AWKWARD), *HALVES], added=["  ", "¡", "<b>"]),
    "pieces": lambda: sentence_piece(AWKWARD, added=["\n\n\n", "<b>"]),
    "llama": lambda: sentence_piece(AWKWARD, prefix=True),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_the_bytes_of_tokens_make_the_text_that_is_decoded(kind):
    tokenizer = MAKERS[kind]()
    words = token_bytes(tokenizer, len(tokenizer) + 5)
    assert len(words) == len(tokenizer) + 5
    for text in TEXTS:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        # The embedded judge's puts a space after an opening quote, and Llama's before everything.
        said = b"".join(words[token] for token in tokens).decode().replace('| " ', '| "').replace('=> " ', '=> "')
        assert said.removeprefix(" " * (kind == "llama")) == tokenizer.decode(tokens) == text
    for token, word in enumerate(words):
        if word is not None and "\ufffd" not in (text := tokenizer.decode([token])):
            assert word.decode().removeprefix(" " * (kind == "llama")) == text


@pytest.mark.parametrize("kind", MAKERS)
def test_control_tokens_and_spare_rows_have_no_bytes(kind):
    tokenizer = MAKERS[kind]()
    words = token_bytes(tokenizer, len(tokenizer) + 5)
    assert words[-5:] == [None] * 5 and b"" not in words
    added = tokenizer.added_tokens_decoder
    assert all(words[token] is None for token in added if added[token].special or "<b>" in added[token].content)
    # All other tokens have some.
    assert {token for token, word in enumerate(words[:-5]) if word is None} <= set(added)


def test_added_white_space_is_text():
    for tokenizer in (gemma3_tokenizer(), byte_level(added=["\n\n"])):
        assert token_bytes(tokenizer, len(tokenizer))[tokenizer.convert_tokens_to_ids("\n\n")] == b"\n\n"


def test_tokens_of_one_byte_are_all_bytes():
    words = token_bytes(byte_level(), 256 + len(SPECIAL))
    assert words == [*(bytes([byte]) for byte in range(256)), None, None, None]


def test_a_tokenizer_of_more_tokens_than_the_model_is_refused_unless_they_are_for_control():
    tokenizer = byte_level(added=["<b>"])
    assert len(token_bytes(tokenizer, 257)) == 257
    with pytest.raises(ValueError, match="a vocabulary of 255: they do not belong"):
        token_bytes(tokenizer, 255)


@pytest.mark.parametrize("decoder", [decoders.WordPiece(), decoders.Metaspace(), decoders.BPEDecoder()])
def test_a_tokenizer_of_another_kind_is_refused(decoder):
    with pytest.raises(ValueError, match="byte-level or a byte-fallback"):
        token_bytes(byte_level(decoder=decoder), 300)


def test_a_tokenizer_without_a_decoder_or_without_a_backend_is_refused():
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.decoder = None
    for other in (tokenizer, object()):
        with pytest.raises(ValueError, match="byte-level or a byte-fallback"):
            token_bytes(other, 300)


def test_a_tokenizer_whose_texts_are_not_its_tokens_is_refused():
    lossy = decoders.Sequence([decoders.Replace("e", "E"), decoders.ByteFallback(), decoders.Fuse()])
    with pytest.raises(ValueError, match="not what its tokens say"):
        token_bytes(sentence_piece(decoder=lossy), 1000)


def test_what_a_decoder_rewrites():
    assert rewritten(hf.load_tokenizer(embedded.DIRECTORY)) == "|>"
    assert rewritten(byte_level()) == rewritten(sentence_piece(prefix=True)) == ""
    for other in (decoders.Replace("a", "b"), decoders.Strip(" ", 1, 0)):
        with pytest.raises(ValueError, match="decode freely"):
            rewritten(byte_level(decoder=decoders.Sequence([decoders.ByteLevel(), other])))
