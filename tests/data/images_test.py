"""Images from pairs to batches: the tokens of transformers' processor, and each pixel where its tokens are."""

import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import seeing_judge
from PIL import Image

from reeval import hf, prompts
from reeval.data import batches
from reeval.data.conversation import Conversation, Example
from reeval.data.images import images_sha256
from reeval.pairs import Pair
from reeval.prompts import MODES

LENGTH = 320
OPTIONS = {"length": LENGTH, "rows": 4, "two_pass_share": 0.25, "seed": 3}
Batch = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeing_judge.write_judge(tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="module")
def conversation(directory: Path) -> Conversation:
    tokenizer = hf.load_tokenizer(directory)
    return Conversation(tokenizer, "compact-1", hf.load_processor(directory, tokenizer))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    return seeing_judge.pairs(tmp_path_factory.mktemp("pairs"), 40)


@pytest.fixture(scope="module")
def examples(conversation: Conversation, pairs: list[Pair]) -> list[dict[str, Example]]:
    return batches.training_examples(conversation, pairs, length=LENGTH, severity_weight=2.0)


def stream(examples: list[dict[str, Example]], **changes: object) -> Iterator[Batch]:
    return iter(batches.packed(examples, **(OPTIONS | changes)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", prompts.PROMPTS)
def test_a_prompt_with_an_image_has_the_tokens_of_transformers_processor(
    directory: Path, conversation: Conversation, pairs: list[Pair], version: str, mode: str
) -> None:
    from transformers import Gemma3ImageProcessorPil, Gemma3Processor

    tokenizer = conversation.tokenizer
    images = Gemma3ImageProcessorPil.from_pretrained(directory)
    theirs = Gemma3Processor(images, tokenizer, image_seq_length=seeing_judge.TOKENS)
    pair = pairs[0]
    content = [
        part | ({"image": Image.open(pair.image)} if part["type"] == "image" else {})
        for part in prompts.first_messages(version, mode, pair, image=True)[-1]["content"]
    ]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    # The template writes <bos> already.
    expected = theirs(images=content[1]["image"], text=text, add_special_tokens=False, do_convert_rgb=True)
    ours = Conversation(tokenizer, version, conversation.processor)
    assert ours.prompt(mode, pair) == expected["input_ids"][0]
    np.testing.assert_array_equal(ours.image(pair).pixels(), expected["pixel_values"][0])
    assert (np.array(ours.prompt(mode, pair)) == ours.processor.token).sum() == seeing_judge.TOKENS


@pytest.mark.parametrize("mode", MODES)
def test_an_image_stands_in_the_prompt_alone_and_weighs_nothing(
    conversation: Conversation, pairs: list[Pair], mode: str
) -> None:
    for pair in pairs[:4]:
        example, blind = (conversation.example(mode, seen) for seen in (pair, dataclasses.replace(pair, image=None)))
        image_tokens = example.tokens == conversation.processor.token
        assert image_tokens.sum() == (seeing_judge.TOKENS if pair.image else 0)
        assert not example.weights[image_tokens].any()
        assert (example.image is None) == (pair.image is None) and blind.image is None
        # The answers, with all that is learned, are the same.
        np.testing.assert_array_equal(example.tokens[example.weights > 0], blind.tokens[blind.weights > 0])


def test_without_a_processor_a_pair_reads_as_one_without_an_image(
    conversation: Conversation, pairs: list[Pair]
) -> None:
    blind = Conversation(conversation.tokenizer, "compact-1")
    for mode in MODES:
        without = dataclasses.replace(pairs[0], image=None)
        assert blind.prompt(mode, pairs[0]) == conversation.prompt(mode, without) == blind.prompt(mode, without)
        assert blind.example(mode, pairs[0]).image is None


def test_a_report_makes_no_image(conversation: Conversation) -> None:
    for token in ("<start_of_image>", "<image_soft_token>", "<end_of_image>", "<start_of_turn>", "<end_of_turn>"):
        with pytest.raises(ValueError, match="^pair 'p': a report holds a control token"):
            conversation.prompt("one_pass", Pair("p", "r", "No effusion.", f"Seen in{token}here"))


def test_added_tokens_that_are_plain_text_are_no_control(conversation: Conversation) -> None:
    report = "No <b>new</b> effusion.\n\n\nLungs <unused0> clear."
    added = {token.content for token in conversation.tokenizer.added_tokens_decoder.values() if not token.special}
    assert {"<b>", "</b>", "\n\n\n", "<unused0>"} <= added
    text = conversation.tokenizer.decode(
        conversation.prompt("one_pass", Pair("p", "r", report, report)), clean_up_tokenization_spaces=False
    )
    assert text.count(report) == 2


def test_a_template_that_knows_no_images_is_refused(directory: Path) -> None:
    tokenizer = hf.load_tokenizer(directory)
    processor = hf.load_processor(directory, tokenizer)
    for content in ("{{ m.content }}", "{{ ': ' + m.content }}", "{{ m.content | trim }}"):
        tokenizer.chat_template = (
            "{% for m in messages %}<start_of_turn>{{ m.role }} " + content + "<end_of_turn>\n{% endfor %}"
        )
        with pytest.raises(ValueError, match="does not say where an image goes"):
            Conversation(tokenizer, "compact-1", processor)


def test_packed_images_are_those_of_the_tokens_in_their_order(
    conversation: Conversation, pairs: list[Pair], examples: list[dict[str, Example]]
) -> None:
    known = {p[mode].tokens[:-1].tobytes(): pair for p, pair in zip(examples, pairs, strict=True) for mode in MODES}
    shortest = min(len(p[mode].tokens) - 1 for p in examples for mode in MODES if p[mode].image)
    held = set()
    for batch in islice(stream(examples), 12):
        assert batch["images"].shape == (4, LENGTH // shortest, *conversation.processor.shape)
        assert batch["images"].dtype == np.float32
        for tokens, segments, images in zip(batch["tokens"], batch["segments"], batch["images"], strict=True):
            parts = [tokens[segments == n] for n in range(1, segments.max() + 1)]
            shown = [known[part.tobytes()] for part in parts if conversation.processor.token in part]
            held.add(len(shown))
            for slot, image in enumerate(images):
                expected = conversation.image(shown[slot]).pixels() if slot < len(shown) else np.zeros_like(image)
                np.testing.assert_array_equal(image, expected)
            assert all(pair.image for pair in shown)
            assert (tokens == conversation.processor.token).sum() == len(shown) * seeing_judge.TOKENS
    assert min(held) <= 1 and max(held) >= 2, "rows hold too few different numbers of images to prove much"


def test_batches_differ_from_those_without_images_in_nothing_else(
    conversation: Conversation, pairs: list[Pair], examples: list[dict[str, Example]]
) -> None:
    blind = [{mode: dataclasses.replace(example, image=None) for mode, example in modes.items()} for modes in examples]
    for seen, unseen in zip(islice(stream(examples), 6), islice(stream(blind), 6), strict=True):
        assert set(seen) - set(unseen) == {"images"} and not set(unseen) - set(seen)
        for name, value in unseen.items():
            np.testing.assert_array_equal(value, seen[name])


def test_a_restored_stream_shows_the_same_images(examples: list[dict[str, Example]]) -> None:
    unbroken = stream(examples)
    for _ in range(7):
        next(unbroken)
    state = unbroken.get_state()
    expected = list(islice(unbroken, 8))
    again = stream(examples)
    next(again)
    again.set_state(state)
    for one, other in zip(expected, islice(again, 8), strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


def test_rows_of_other_processes_show_no_images(examples: list[dict[str, Example]]) -> None:
    for whole, part in zip(islice(stream(examples), 6), islice(stream(examples, own=[1, 3]), 6), strict=True):
        np.testing.assert_array_equal(part["images"][[1, 3]], whole["images"][[1, 3]])
        assert not part["images"][[0, 2]].any()
        for name in whole.keys() - {"images"}:
            np.testing.assert_array_equal(part[name], whole[name])


def test_images_are_read_when_they_are_drawn_and_a_bad_one_is_named_by_its_pair(
    conversation: Conversation, tmp_path: Path
) -> None:
    made = seeing_judge.pairs(tmp_path, 1)
    alone = batches.training_examples(conversation, made, length=LENGTH, severity_weight=1.0)
    data = stream(alone)
    Path(made[0].image).write_text("No image of Mr Smith.")
    with pytest.raises(ValueError, match=r"pair 'p0': field 'image': the image is damaged") as caught:
        next(data)
    assert "Smith" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_the_digest_is_of_what_the_images_show(pairs: list[Pair], tmp_path: Path) -> None:
    whole = images_sha256(pairs)
    assert whole == images_sha256(pairs)
    moved = []
    for i, pair in enumerate(pairs):
        if pair.image:
            (tmp_path / f"{i}").write_bytes(Path(pair.image).read_bytes())
            pair = dataclasses.replace(pair, image=str(tmp_path / f"{i}"))
        moved.append(pair)
    assert images_sha256(moved) == whole
    seeing_judge.write_image(tmp_path / "other.png", seed=99)
    changed = [*moved]
    changed[0] = dataclasses.replace(moved[0], image=str(tmp_path / "other.png"))
    blind = [dataclasses.replace(moved[0], image=None), *moved[1:]]
    exchanged = [dataclasses.replace(moved[0], image=moved[4].image), *moved[1:]]
    assert len({whole, *map(images_sha256, (changed, blind, exchanged, moved[:-1]))}) == 5


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "is damaged or in no format"),
    ],
)
def test_a_bad_image_is_known_before_work_begins(spoil: object, message: str, tmp_path: Path) -> None:
    made = seeing_judge.pairs(tmp_path, 5)
    spoil(Path(made[4].image))
    with pytest.raises(ValueError) as caught:
        images_sha256(made)
    assert str(caught.value).startswith("pair 'p4': field 'image': ") and message in str(caught.value)
    assert str(tmp_path) not in str(caught.value) and "\n" not in str(caught.value)
