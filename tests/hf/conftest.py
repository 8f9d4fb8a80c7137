import pytest

TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }} <|im_end|>{% endfor %}"


@pytest.fixture
def small_tokenizer():
    """A transformers tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "user", "assistant", "no", "effusion", "left", "right"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    fast.chat_template = TEMPLATE
    return fast
