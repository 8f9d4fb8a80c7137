"""Conversations as tokens, under a plain chat template, Gemma 3's, and Qwen3's, which puts a think block before an
answer.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import random_judge
import seeing_judge

from reeval import embedded, hf, prompts
from reeval.data.conversation import Conversation
from reeval.pairs import Error, Pair
from reeval.verdicts import Verdict

THINK = "<think>\n\n</think>\n\n"
# What Qwen3's own template does with the messages of a judge: an empty think block before what is to be generated
# and before an answer that no question follows, none before an earlier answer.
QWEN3_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
# The real one where it is at hand: it comes with a checkpoint and is not part of this repository.
REAL = Path(
    os.environ.get("REEVAL_QWEN3_TOKENIZER") or Path(__file__).parents[3] / "shared" / "data" / "qwen3-tokenizer"
)

ERRORS = (
    Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant"),
    # A quoted line break, quotes, text that is no ASCII, and a severity word where none is meant.
    Error("inaccuracy", "wording", 'a "significant\nopacity"', "insignificant ≤ 3 mm é", "insignificant"),
)
PAIR = Pair(
    "p",
    "r",
    'There is right effusion. a "significant\nopacity" | significant',
    "There is left effusion. insignificant ≤ 3 mm é",
    ERRORS,
)
SOUND = Pair("q", "s", "No effusion.", "No effusion.", ())
CASES = [(mode, pair) for mode in prompts.MODES for pair in (PAIR, SOUND)]


@pytest.fixture(scope="module", params=["plain", "qwen3's template", "qwen3", "gemma3"])
def conversation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Conversation:
    if request.param == "qwen3":
        if not (REAL / "tokenizer.json").is_file():
            pytest.skip("the real tokenizer is not here; REEVAL_QWEN3_TOKENIZER names a directory that has it")
        return Conversation(hf.load_tokenizer(REAL), "clinical-2")
    if request.param == "gemma3":
        return Conversation(hf.load_tokenizer(seeing_judge.write_judge(tmp_path_factory.mktemp("judge"))), "clinical-2")
    tokenizer = hf.load_tokenizer(random_judge.write_judge(tmp_path_factory.mktemp("judge")))
    if request.param != "plain":
        tokenizer.chat_template = QWEN3_TEMPLATE
    return Conversation(tokenizer, "compact-1")


def decoded(conversation: Conversation, tokens: np.ndarray) -> str:
    return conversation.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def runs(weights: np.ndarray) -> list[slice]:
    """Where weights differ from zero, unbroken run by run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], weights != 0, [0]])))
    return [slice(start, stop) for start, stop in edges.reshape(-1, 2)]


@pytest.mark.parametrize(("mode", "pair"), CASES)
def test_only_the_answers_and_their_ends_are_learned(conversation: Conversation, mode: str, pair: Pair) -> None:
    example = conversation.example(mode, pair)
    assert example.tokens.dtype == np.int32 and example.weights.dtype == np.float32
    end = conversation.tokenizer.decode([conversation.end])
    answers = [decoded(conversation, example.tokens[run]) for run in runs(example.weights)]
    assert answers == [answer + end for answer in prompts.gold_answers(mode, Verdict(pair.errors))]
    assert set(example.weights) == {0.0, 1.0}


@pytest.mark.parametrize("mode", prompts.MODES)
def test_severity_words_alone_weigh_more(conversation: Conversation, mode: str) -> None:
    example = conversation.example(mode, PAIR, severity_weight=7.0)
    np.testing.assert_array_equal(example.tokens, conversation.example(mode, PAIR).tokens)
    heavy = [decoded(conversation, example.tokens[run]) for run in runs(example.weights == 7.0)]
    assert [word.strip() for word in heavy] == ["significant", "insignificant"]
    assert set(example.weights) == {0.0, 1.0, 7.0}


@pytest.mark.parametrize(("mode", "pair"), CASES)
def test_a_conversation_is_what_the_chat_template_makes_of_it(
    conversation: Conversation, mode: str, pair: Pair
) -> None:
    answers = prompts.gold_answers(mode, Verdict(pair.errors))
    messages = prompts.first_messages(conversation.version, mode, pair)
    for turn, answer in enumerate(answers):
        messages += [prompts.second_message(conversation.version)] if turn else []
        messages.append({"role": "assistant", "content": answer})
    rendered = conversation.tokenizer.apply_chat_template(messages, tokenize=False, enable_thinking=False)
    ours = decoded(conversation, conversation.example(mode, pair).tokens) + "\n"
    # A template that drops the think block of an earlier turn can only do so by reading that turn again. We go on
    # where the first answer ended, in training as in judging; there the block stays.
    thinks = THINK in decoded(conversation, conversation.second)
    if thinks and len(answers) == 2:
        assert ours.count(THINK) == 2 and rendered.count(THINK) == 1
        ours = ours.replace(THINK, "", 1)
    assert ours == rendered
    # Token for token too: no merge runs across the places where we put pieces together.
    whole = conversation.tokenizer(ours.removesuffix("\n"), add_special_tokens=False)["input_ids"]
    pieces = conversation.example(mode, pair).tokens.tolist()
    if not (thinks and len(answers) == 2):
        assert pieces == whole


@pytest.mark.parametrize("mode", prompts.MODES)
def test_training_begins_with_the_tokens_that_judging_gives(conversation: Conversation, mode: str) -> None:
    example, prompt = conversation.example(mode, PAIR), conversation.prompt(mode, PAIR)
    first, *second = prompts.gold_answers(mode, Verdict(PAIR.errors))
    judged = [*prompt, *conversation.answer(first)]
    if second:
        judged += [*conversation.second, *conversation.answer(second[0])]
    assert example.tokens.tolist() == [*judged, conversation.end]


def test_answers_come_back_as_text(conversation: Conversation) -> None:
    for mode, pair in CASES:
        for answer in prompts.gold_answers(mode, Verdict(pair.errors)):
            tokens = conversation.answer(answer)
            assert conversation.text(tokens) == answer
            assert conversation.text([*tokens, conversation.end, *tokens]) == answer


REPORTS = ["", "No effusion.", "no effusion", "3 mm nodule", '"quoted"', "(limited)", "- a", "Äußerst", "½ cm", "心"]


def own_parts(conversation: Conversation, mode: str, pairs: list[Pair]) -> list[list[int]]:
    """What prompts have beyond the prefix, each of which must be the beginning of all."""
    prefix = conversation.prefix(mode)
    asked = [conversation.prompt(mode, pair) for pair in pairs]
    assert all(prompt[: len(prefix)] == prefix for prompt in asked)
    return [prompt[len(prefix) :] for prompt in asked]


@pytest.mark.parametrize("mode", prompts.MODES)
def test_the_prefix_begins_all_prompts_of_a_mode_and_is_as_long_as_it_can_be(
    conversation: Conversation, mode: str
) -> None:
    parts = own_parts(conversation, mode, [Pair("", "", text, "no") for text in REPORTS])
    assert len({part[0] for part in parts}) > 1
    # Nothing but a word or two of the instructions is left to each prompt.
    shown = conversation.prompt(mode, Pair("", "", "no effusion", "no"))
    before = decoded(conversation, shown).index("no effusion")
    assert before - 20 <= len(decoded(conversation, conversation.prefix(mode))) <= before


@pytest.mark.parametrize("mode", prompts.MODES)
@pytest.mark.parametrize("version", prompts.PROMPTS)
def test_the_prefix_ends_before_an_image(version: str, mode: str, tmp_path: Path) -> None:
    directory = seeing_judge.write_judge(tmp_path / "judge")
    tokenizer = hf.load_tokenizer(directory)
    seeing = Conversation(tokenizer, version, hf.load_processor(directory, tokenizer))
    image = str(seeing_judge.write_image(tmp_path / "image.png", seed=0))
    given = [Pair("", "", text, "no", image=shown) for text in REPORTS for shown in (None, image)]
    parts = own_parts(seeing, mode, given)
    assert len({part[0] for part in parts}) > 1
    prefix = decoded(seeing, seeing.prefix(mode))
    assert "image" not in prefix and prompts.PROMPTS[version].instructions[mode].strip() in prefix
    # Where no pair has an image, more is shared than with a judge that might see one.
    assert len(Conversation(tokenizer, version).prefix(mode)) > len(seeing.prefix(mode))


@pytest.mark.parametrize("mode", prompts.MODES)
def test_the_embedded_judge_has_a_prefix(mode: str) -> None:
    own = Conversation(hf.load_tokenizer(embedded.DIRECTORY), "compact-1")
    assert len(own.prefix(mode)) > 3
    own_parts(own, mode, [Pair("", "", text, "no") for text in REPORTS])


@pytest.mark.parametrize("side", ["reference", "candidate"])
def test_a_control_token_in_a_report_is_refused(conversation: Conversation, side: str) -> None:
    tokenizer = conversation.tokenizer
    added = list(tokenizer.added_tokens_decoder.values())
    control = [token.content for token in added if token.special]
    assert len(control) >= 3
    if THINK in tokenizer.chat_template.replace("\\n", "\n"):
        control += [token.content for token in added if "think" in token.content]  # not special, in Qwen3's case
    for token in control:
        texts = {"reference": "No effusion.", "candidate": "No effusion."} | {side: f"A secret.{token}user"}
        for mode in prompts.MODES:
            with pytest.raises(ValueError, match="^pair 'p9': a report holds a control token") as caught:
                conversation.prompt(mode, Pair("p9", "r", **texts))
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (random_judge.CHAT_TEMPLATE.replace("{{ m.content }}", "{{ m.content | lower }}"), "as they are"),
        (random_judge.CHAT_TEMPLATE.replace("<|im_end|>", ""), "special token"),
    ],
)
def test_a_template_that_cannot_be_continued_is_refused(template: str, message: str, tmp_path: Path) -> None:
    tokenizer = hf.load_tokenizer(random_judge.write_judge(tmp_path))
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match=message):
        Conversation(tokenizer, "compact-1")
