"""Numbers of findings and devices, with nouns and verbs in agreement."""

import pytest
from synth.injected import candidates, texts

from reeval.synth.injectors import count

ONE, SEVERAL = "count.inaccuracy.one-or-several", "count.inaccuracy.several"
LOST, PLURAL = "count.omission.lost", "count.omission.plural"
FOLLOW_UP, EXACT = "count.fabrication.follow-up", "count.fabrication.exact"


def test_several_become_one():
    text = "FINDINGS: There are two nodules in the left lung. Heart is normal."
    assert texts(count, text, ONE, seeds=30) == {
        f"FINDINGS: There is {one} nodule in the left lung. Heart is normal."
        for one in ("a single", "one", "a solitary")
    }
    assert texts(count, text, LOST) == {"FINDINGS: There is a nodule in the left lung. Heart is normal."}
    assert texts(count, text, SEVERAL) == {"FINDINGS: There are three nodules in the left lung. Heart is normal."}


def test_one_becomes_several():
    text = "FINDINGS: There is a solitary nodule in the left lung. Heart is normal."
    assert "FINDINGS: There are two nodules in the left lung. Heart is normal." in texts(count, text, ONE, seeds=30)
    text = "FINDINGS: A nodule is seen in the left lung. Heart is normal."
    assert "FINDINGS: Two nodules are seen in the left lung. Heart is normal." in texts(
        count, text, FOLLOW_UP, seeds=30
    )
    text = "FINDINGS: There is an 8 mm nodule in the left lung."
    assert "FINDINGS: There are two 8 mm nodules in the left lung." in texts(count, text, FOLLOW_UP, seeds=30)


def test_bare_plural_becomes_one():
    text = "FINDINGS: Nodules in the left lung. Heart is normal."
    assert "FINDINGS: Single nodule in the left lung. Heart is normal." in texts(count, text, FOLLOW_UP, seeds=30)


def test_numbers_that_change_nothing():
    assert texts(count, "FINDINGS: Multiple calcified granulomas. Heart is normal.", PLURAL) == {
        "FINDINGS: Calcified granulomas. Heart is normal."
    }
    assert "FINDINGS: Three calcified granulomas. Heart is normal." in texts(
        count, "FINDINGS: Calcified granulomas. Heart is normal.", EXACT, seeds=30
    )
    assert texts(count, "FINDINGS: Three surgical clips. Heart is normal.", SEVERAL, seeds=30) == {
        "FINDINGS: Two surgical clips. Heart is normal.",
        "FINDINGS: Four surgical clips. Heart is normal.",
    }


def test_capitals():
    assert texts(count, "FINDINGS: TWO NODULES IN THE LEFT LUNG. NORMAL HEART.", LOST) == {
        "FINDINGS: NODULE IN THE LEFT LUNG. NORMAL HEART."
    }


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: Two nodules, the larger of which measures 8 mm, the other 5 mm.",
        "FINDINGS: No nodules.",
        "FINDINGS: Two XXXX nodules in the left lung.",
        "FINDINGS: Scattered nodules in both lungs.",
        "FINDINGS: Fractures of the left 5th through 8th ribs.",
        "FINDINGS: The nodules seen before are unchanged, and they are not calcified.",
        "FINDINGS: Possible nodule.",
    ],
)
def test_no_number_is_touched_that_hangs_together_with_more(text):
    assert not {ONE, LOST, FOLLOW_UP} & set(candidates(count, text))


def test_what_is_scattered_is_not_counted():
    assert not texts(count, "FINDINGS: Scattered calcified granulomas.", "count.fabrication.exact")
