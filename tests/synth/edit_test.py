"""Sentences lost, added and replaced in prose, lists and lines of organs."""

import pytest
from synth.changed import changed

from reeval.synth import document, edit


def applied(text: str, changes: tuple[edit.Change, ...] | None) -> str | None:
    return None if changes is None else changed(text, changes)


LIST = "IMPRESSION:\n1. Pneumonia.\n2. Effusion.\n3. Nodule."


@pytest.mark.parametrize(
    ("text", "index", "expected"),
    [
        ("Heart normal. Lungs clear. No effusion.", 0, "Lungs clear. No effusion."),
        ("Heart normal. Lungs clear. No effusion.", 1, "Heart normal. No effusion."),
        ("Heart normal. Lungs clear. No effusion.", 2, "Heart normal. Lungs clear."),
        (LIST, 1, "IMPRESSION:\n1. Pneumonia.\n2. Nodule."),
        (LIST, 2, "IMPRESSION:\n1. Pneumonia.\n2. Effusion."),
        ("1. Low volumes 2. Lungs clear 3. Heart ok", 0, "1. Lungs clear 2. Heart ok"),
        ("FINDINGS: Clear.\n\nIMPRESSION: Normal.", 0, None),  # its heading would stand alone
        ("HEART: Big.\nLUNGS: Clear. No effusion.", 1, None),  # the next sentence would stand under no organ
        ("HEART: Big.\nLUNGS: Clear. No effusion.", 2, "HEART: Big.\nLUNGS: Clear."),
    ],
)
def test_a_sentence_is_lost_with_its_space_and_number(text, index, expected):
    assert applied(text, edit.dropped_sentence(document.parse(text), index)) == expected


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("Heart normal. Lungs clear.", 0, "Heart normal. New. Lungs clear."),
        ("Heart normal", 0, "Heart normal. New."),
        (LIST, 1, "IMPRESSION:\n1. Pneumonia.\n2. Effusion.\n3. New.\n4. Nodule."),
        ("1. Low volumes. 2. Lungs clear.", 0, "1. Low volumes. 2. New. 3. Lungs clear."),
        ("- Low volumes.\n- Lungs clear.", 1, "- Low volumes.\n- Lungs clear.\n- New."),
        ("HEART: Big.\nLUNGS: Clear.", 0, "HEART: Big. New.\nLUNGS: Clear."),
        ("HEART IS BIG. LUNGS CLEAR.", 1, "HEART IS BIG. LUNGS CLEAR. NEW."),
    ],
)
def test_a_sentence_is_added_in_the_way_of_the_report(text, after, expected):
    assert applied(text, edit.added_sentence(document.parse(text), after, "New.")) == expected


def test_a_replacement_has_the_full_stop_and_the_capitals_of_the_report():
    assert applied("Big heart", edit.replaced_sentence(document.parse("Big heart"), 0, "New.")) == "New"
    assert applied("BIG HEART.", edit.replaced_sentence(document.parse("BIG HEART."), 0, "New.")) == "NEW."


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("Small left effusion.", "left", "Small effusion."),
        ("Small left effusion.", "Small", "Left effusion."),
        ("Effusion is small.", "small", "Effusion is."),
        ("SMALL EFFUSION.", "SMALL", "EFFUSION."),
    ],
)
def test_a_word_is_lost_with_its_space(text, word, expected):
    start = text.index(word)
    assert applied(text, (edit.dropped_words(document.parse(text), start, start + len(word)),)) == expected


def test_a_word_at_the_beginning_of_a_sentence_has_its_capital():
    text = "Left effusion. Large left effusion."
    parsed = document.parse(text)
    assert edit.replaced(parsed, 0, 4, "right").new == "Right"
    assert edit.replaced(parsed, text.rindex("left"), text.rindex("left") + 4, "right").new == "right"
