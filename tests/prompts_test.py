import hashlib
import json
import re

import pytest

from reeval import prompts, verdicts
from reeval.pairs import Error, Pair
from reeval.verdicts import Verdict

PAIR = Pair("p", "r", "Small left effusion.", "No effusion.")

# Of every message of a published version, rendered for PAIR. Made by `digest` below, printed by this test's own
# failure, when the version was published. A published prompt never changes: a better one gets a name of its own.
GOLDEN = {
    ("clinical-2", "one_pass"): "3df6555de4bdb9bd",
    ("clinical-2", "two_pass"): "2c4c97b488530f63",
    ("compact-1", "one_pass"): "bc757d8b6ea278a1",
    ("compact-1", "two_pass"): "e8768ef79fec8a9b",
}
# The same for a judge that is given the study's image.
GOLDEN_WITH_IMAGE = {
    ("clinical-2", "one_pass"): "b73b51d7234a13c7",
    ("clinical-2", "two_pass"): "32f2215c9b8c0691",
    ("compact-1", "one_pass"): "8fad8e38c141b23c",
    ("compact-1", "two_pass"): "c04d253c8d6d2bbc",
}


def digest(version: str, mode: str, *, image: bool = False) -> str:
    messages = [*prompts.first_messages(version, mode, PAIR, image=image)]
    if mode == "two_pass":
        messages.append(prompts.second_message(version))
    return hashlib.sha256(json.dumps(messages, ensure_ascii=False).encode()).hexdigest()[:16]


def test_a_published_version_never_changes() -> None:
    assert {(v, mode): digest(v, mode) for v in prompts.PROMPTS for mode in prompts.MODES} == GOLDEN
    with_image = {(v, mode): digest(v, mode, image=True) for v in prompts.PROMPTS for mode in prompts.MODES}
    assert with_image == GOLDEN_WITH_IMAGE


@pytest.mark.parametrize("version", prompts.PROMPTS)
@pytest.mark.parametrize("mode", prompts.MODES)
def test_reports_stand_in_the_prompt_word_for_word(version: str, mode: str) -> None:
    # What str.format, str.replace and a regex template would each trip over.
    reference = r"{candidate} {0} {{x}} \1 %s {reference"
    candidate = "}{reference}{candidate} {unknown}"
    *_, message = prompts.first_messages(version, mode, Pair("p", "r", f"\n {reference} \n", candidate))
    assert message["content"].count(reference) == message["content"].count(candidate) == 1
    assert message["content"].index(reference) < message["content"].index(candidate)
    assert not re.search(r"\s", message["content"][0] + message["content"][-1])


@pytest.mark.parametrize("version", prompts.PROMPTS)
@pytest.mark.parametrize("mode", prompts.MODES)
def test_what_comes_before_the_reports_is_the_same_for_every_pair(version: str, mode: str) -> None:
    other = Pair("q", "s", "Another.", "One more.")
    first, second = (prompts.first_messages(version, mode, pair)[-1]["content"] for pair in (PAIR, other))
    shared = first[: first.index(PAIR.reference)]
    assert second.startswith(shared) and len(shared) >= len("reference: ")


@pytest.mark.parametrize("version", prompts.PROMPTS)
@pytest.mark.parametrize("mode", prompts.MODES)
def test_an_image_stands_between_the_instructions_and_the_reports(version: str, mode: str) -> None:
    plain = prompts.first_messages(version, mode, PAIR)[-1]["content"]
    first, image, last = prompts.first_messages(version, mode, PAIR, image=True)[-1]["content"]
    assert image == {"type": "image"} and first["type"] == last["type"] == "text"
    lead = first["text"].splitlines()[-1]
    assert "image" in lead and first["text"].removesuffix(lead) + last["text"] == plain
    assert PAIR.reference not in first["text"] and PAIR.reference in last["text"]
    # A template may trim each part: nothing is lost then.
    assert first["text"] == first["text"].strip() and last["text"] == last["text"].strip()
    other = prompts.first_messages(version, mode, Pair("q", "s", "Another.", "One more."), image=True)
    assert other[-1]["content"][:2] == [first, image]


def test_the_clinical_prompt_teaches_the_format_that_the_parser_reads() -> None:
    error = Error("inaccuracy", "laterality", "right", "left", "significant")
    for mode, example in (
        ("one_pass", verdicts.render(Verdict((error,)))),
        ("two_pass", verdicts.render_spans(Verdict((error,)))),
    ):
        content = prompts.first_messages("clinical-2", mode, PAIR)[-1]["content"]
        (line,) = [line for line in content.splitlines() if line.startswith("type | aspect")]
        filled = line.replace("type", error.type).replace("aspect", error.aspect)
        filled = filled.replace("words of the reference", "right").replace("words of the candidate", "left")
        assert filled.replace("significant or insignificant", "significant") == example
        assert f"answer: {verdicts.NONE}\n" in content


def test_gold_answers() -> None:
    errors = (
        Error("inaccuracy", "laterality", "right", "left", "significant", "a reason"),
        Error("omission", "device", 'a "line"', "", "insignificant"),
    )
    first, second = (
        'inaccuracy | laterality | "right" => "left"',
        r'omission | device | "a \"line\"" => ""',
    )
    assert prompts.gold_answers("one_pass", Verdict(errors)) == [f"{first} | significant\n{second} | insignificant"]
    assert prompts.gold_answers("two_pass", Verdict(errors)) == [
        f"{first}\n{second}",
        "significant\ninsignificant",
    ]
    assert prompts.gold_answers("one_pass", Verdict()) == prompts.gold_answers("two_pass", Verdict()) == ["none"]


def test_an_unknown_version_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"prompt version 'clinical-9' is unknown; there are clinical-2, compact-1"):
        prompts.prompt("clinical-9")
