"""Tokenizers in: what is read, and what is said of a directory that has none or a damaged one."""

import json

import pytest

from reeval import hf


@pytest.fixture
def directory(tmp_path, small_tokenizer):
    small_tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_ids_special_tokens_and_chat_template(directory, small_tokenizer):
    found = hf.load_tokenizer(directory)
    assert found.encode("no left effusion") == small_tokenizer.encode("no left effusion") == [3, 5, 4]
    assert (found.eos_token, found.pad_token) == ("<|im_end|>", "<|pad|>")
    messages = [{"role": "user", "content": "no effusion"}]
    text = "user no effusion <|im_end|>"
    assert found.apply_chat_template(messages, tokenize=False) == text
    ids = found.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert ids == [1, 3, 4, found.eos_token_id]


def test_template_inside_the_tokenizers_config(directory):
    """Where transformers 4 keeps it."""
    (directory / "chat_template.jinja").unlink()
    config = json.loads((directory / "tokenizer_config.json").read_text())
    (directory / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": "old"}))
    assert hf.load_tokenizer(directory).chat_template == "old"


def refused(directory, message):
    with pytest.raises(ValueError, match=message) as caught:
        hf.load_tokenizer(directory)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(directory))


def test_refusals(directory):
    refused(directory / "absent", "not a directory")
    (directory / "chat_template.jinja").unlink()
    refused(directory, "no chat template")
    file = directory / "tokenizer.json"
    file.write_text(file.read_text()[:-20])
    refused(directory, r"the tokenizer cannot be read \(.+\); fetch its files again")
    file.unlink()
    refused(directory, "no tokenizer.json; fetch the tokenizer's files too")


def test_a_text_longer_than_the_tokenizer_was_made_for_is_no_news(directory, caplog):
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 2}))
    with caplog.at_level("WARNING", logger="transformers"):
        assert len(hf.load_tokenizer(directory).encode("no left effusion")) == 3
    assert not caplog.records
