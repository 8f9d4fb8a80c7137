import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from reeval.metrics.matching import match, overlap
from reeval.pairs import Error

SIDE = Error("inaccuracy", "laterality", "small right effusion", "small left effusion", "significant")


def test_overlap_by_hand():
    assert overlap(SIDE, SIDE) == 1
    # The shorter span's words all stand in the longer one, on both sides.
    assert overlap(SIDE, dataclasses.replace(SIDE, reference_span=" Right", candidate_span="LEFT.")) == 1
    # Reference side 2 of 2, candidate side 0 of 1.
    half = dataclasses.replace(SIDE, reference_span="right effusion", candidate_span="heart")
    assert overlap(SIDE, half) == 0.5
    # A side that either leaves empty says nothing.
    assert overlap(SIDE, dataclasses.replace(SIDE, candidate_span="")) == 1
    assert overlap(SIDE, dataclasses.replace(SIDE, reference_span="", candidate_span="...")) == 0
    size, other = (Error("omission", "measurement", span) for span in ("1.2 cm", "2 cm"))
    assert overlap(size, other) == 0.5


def test_answers_share_type_and_aspect():
    for change in ({"type": "omission"}, {"aspect": "location"}):
        assert match([SIDE], [dataclasses.replace(SIDE, **change)]) == [None]
    milder = dataclasses.replace(SIDE, severity="insignificant")
    assert match([SIDE], [milder]) == [milder]


def test_one_answer_an_error_and_the_best_assignment():
    first = Error("omission", "device", "right chest tube")
    second = Error("omission", "device", "left chest tube")
    # Both overlap with both (2 of 3 words); only one assignment takes each to its own.
    assert match([first, second], [second, first]) == [first, second]
    assert match([first, second], [second]) == [None, second]
    assert match([first], []) == [None] and match([], [first]) == []


def test_too_little_overlap_is_no_answer():
    third = Error("omission", "device", "right chest tube")
    assert match([third], [Error("omission", "device", "right PICC line")]) == [None]


words = st.lists(st.sampled_from(["left", "right", "tube", "line", "2", "."]), max_size=3).map(" ".join)
found = st.lists(st.builds(Error, st.just("inaccuracy"), st.just("device"), words, words), max_size=4)


@given(found, found)
def test_overlap_is_symmetric_and_a_share(gold, judged):
    for one in gold:
        for other in judged:
            assert overlap(one, other) == overlap(other, one)
            assert 0 <= overlap(one, other) <= 1


@given(found, found)
def test_no_judged_error_answers_two(gold, judged):
    answers = [answer for answer in match(gold, judged) if answer is not None]
    assert len({id(answer) for answer in answers}) == len(answers)
    assert all(any(answer is error for error in judged) for answer in answers)
