"""Sentences of reports as they are written: every offset points into the text as it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeval.synth import document

HEADINGS = "FINDINGS: Heart is normal. Lungs are clear.\n\nIMPRESSION: No acute disease."
WRAPPED = """FINDINGS:
 The lungs are well
 expanded.  A 1.2 cm nodule is seen, cf. Dr. ___ note.
 No effusion

IMPRESSION:

1. Nodule.
2.  No acute process. Stable heart."""
ORGANS = "HEART: Normal. Not enlarged.\n- LUNGS: Clear.\nBones and soft tissues: intact"
INLINE = "IMPRESSION: 1. Low lung volumes 2.Lungs appear clear. 3. Heart at 5. Rib is normal"


def said(text: str) -> list[str]:
    parsed = document.parse(text)
    return [parsed.of(sentence) for sentence in parsed.sentences]


def test_headings_give_the_sections():
    parsed = document.parse(HEADINGS)
    assert [(s.section, parsed.of(s)) for s in parsed.sentences] == [
        ("findings", "Heart is normal."),
        ("findings", "Lungs are clear."),
        ("impression", "No acute disease."),
    ]


def test_wrapped_lines_numbers_and_abbreviations_do_not_end_a_sentence():
    assert said(WRAPPED) == [
        "The lungs are well\n expanded.",
        "A 1.2 cm nodule is seen, cf. Dr. ___ note.",
        "No effusion",
        "Nodule.",
        "No acute process.",
        "Stable heart.",
    ]
    assert [s.item for s in document.parse(WRAPPED).sentences] == [False, False, False, True, True, False]


def test_organ_headings_and_bullets_begin_items():
    parsed = document.parse(ORGANS)
    assert [(s.heading, s.item, parsed.of(s)) for s in parsed.sentences] == [
        ("HEART", True, "Normal."),
        ("HEART", False, "Not enlarged."),
        ("LUNGS", True, "Clear."),
        ("Bones and soft tissues", True, "intact"),
    ]


def test_a_number_in_running_text_is_an_item_only_where_it_continues_the_list():
    assert said(INLINE) == ["Low lung volumes", "Lungs appear clear.", "Heart at 5.", "Rib is normal"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Left apex.There is no effusion", ["Left apex.", "There is no effusion"]),
        ("Clear lungs.. Normal heart .", ["Clear lungs..", "Normal heart ."]),
        ("XXXX XXXX. ___ is stable.", ["XXXX XXXX.", "___ is stable."]),
        ("COMPARISON: None. FINDINGS: Clear.", ["None.", "Clear."]),
        ("", []),
        (" \n. \n", []),
    ],
)
def test_odd_texts(text, sentences):
    assert said(text) == sentences


def test_capitals():
    assert document.parse("THE LUNGS ARE CLEAR xxxx. IMPRESSION: NORMAL").capitals
    assert not document.parse("XXXX. Clear lungs. PICC, SVC, ETT, NG.").capitals


@given(st.text(alphabet="aB .\n12:-_XFINDGS,é", max_size=120))
def test_sentences_are_in_order_apart_and_cut_at_their_ends(text):
    parsed = document.parse(text)
    at = 0
    for sentence in parsed.sentences:
        assert at <= sentence.start < sentence.end <= len(text)
        assert parsed.of(sentence) == parsed.of(sentence).strip()
        at = sentence.end
    assert len(parsed.lower) == len(text)
