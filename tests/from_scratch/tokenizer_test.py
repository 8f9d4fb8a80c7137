"""The embedded judge's tokenizer: text comes back as it was, and a quoted word is the word of the report."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeval import prompts, taxonomy, verdicts
from reeval.from_scratch import tokenizer as made_here
from reeval.from_scratch.pairs import scrambled, written
from reeval.pairs import Error
from reeval.synth.compose import Mixture
from reeval.synth.generator import SPLITS
from reeval.verdicts import Verdict


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def returns(tokenizer, text):
    return tokenizer.decode(ids(tokenizer, text), clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("exchanged", [False, True])
def test_prompts_and_verdicts_come_back(tokenizer, split, exchanged):
    for pair in itertools.islice(written(split, 5, (1, 4), Mixture(drafts=1)), 100):
        pair = scrambled(pair, random.Random(1)) if exchanged else pair
        for mode in prompts.MODES:
            texts = [*prompts.gold_answers(mode, Verdict(pair.errors))]
            texts += [m["content"] for m in prompts.first_messages("compact-1", mode, pair)]
            assert all(returns(tokenizer, text) for text in texts)


SPAN = st.text(st.sampled_from(' "|=>\\\n\tabé→.,') | st.characters(exclude_categories=["Cs"]), max_size=30)


CHOICES = [st.sampled_from(x) for x in (taxonomy.TYPES, taxonomy.ASPECTS, taxonomy.SEVERITIES)]


@given(st.lists(st.builds(Error, CHOICES[0], CHOICES[1], SPAN, SPAN, CHOICES[2]), max_size=3))
def test_any_verdict_comes_back(tokenizer, errors):
    text = verdicts.render(Verdict(tuple(errors)))
    assert returns(tokenizer, text)
    assert returns(tokenizer, verdicts.render_spans(Verdict(tuple(errors))))


@given(SPAN)
def test_any_text_comes_back(tokenizer, text):
    assert returns(tokenizer, text)


def test_a_quoted_word_is_the_token_of_the_report(tokenizer):
    report = ids(tokenizer, "There is a small right effusion.")
    line = ids(tokenizer, 'inaccuracy | laterality | "right effusion" => "small right effusion" | significant')
    (quoted,) = {tuple(ids(tokenizer, " right effusion"))}
    for tokens in (report, line, line[line.index(quoted[-1]) + 1 :]):
        assert any(tuple(tokens[i : i + len(quoted)]) == quoted for i in range(len(tokens)))


@pytest.mark.parametrize("word", [*taxonomy.SEVERITIES, *taxonomy.TYPES, verdicts.NONE])
def test_words_of_the_format_are_single_tokens(tokenizer, word):
    assert len(ids(tokenizer, word)) == 1


@pytest.mark.parametrize("word", taxonomy.SEVERITIES)
def test_severities_after_a_bar_are_single_tokens(tokenizer, word):
    assert len(ids(tokenizer, f" {word}")) == 1


def test_chat_template_takes_every_role(tokenizer):
    turns = [{"role": role, "content": f"<{role}>"} for role in ("system", "user", "assistant", "user")]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert (
        text
        == "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
        + "<|im_start|>assistant\n"
    )
    assert tokenizer.eos_token == "<|im_end|>" and tokenizer.pad_token == "<|endoftext|>"
    assert set(tokenizer.all_special_tokens) == {"<|im_end|>", "<|endoftext|>", "<|im_start|>"}


def test_training_it_again_gives_the_same_file(directory, tmp_path):
    made_here.save(made_here.train(1024, "compact-1", seed=0), tmp_path, max_length=512)
    for file in made_here.FILES:
        assert (tmp_path / file).read_bytes() == (directory / file).read_bytes()
