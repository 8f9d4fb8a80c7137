"""The pieces of a synthesised pair are its reference, taken apart once, and its candidate, put together."""

import pytest

from reeval.benchmarks import pieces
from reeval.pairs import Error, Pair

REFERENCE = "Small right effusion. Quibblefax. No nodule."
CANDIDATE = "No nodule. Small left effusion. Quibblefox."
ERROR = Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant")
RULE = "laterality.inaccuracy.wrong-side"
GOOD = [
    [34, 44, "No nodule. ", "order"],
    [0, 6],
    [6, 11, "left", "error 0"],
    [11, 22],
    [22, 34, "Quibblefox.", "synonym"],
]


def found(made=GOOD, *, errors=(ERROR,), **metadata):
    problems = list(pieces.problems(Pair("a", "r", REFERENCE, CANDIDATE, errors, {"pieces": made, **metadata})))
    assert not any(word in problem for problem in problems for word in ("Quibble", "effusion", "nodule"))
    return problems


def changed(index, piece):
    return [*GOOD[:index], piece, *GOOD[index + 1 :]]


def test_what_is_right_is_no_problem():
    assert found() == []
    assert list(pieces.problems(Pair("a", "r", REFERENCE, CANDIDATE))) == []
    assert found([[0, 44, CANDIDATE, "rewritten"]], errors=()) == []
    assert found([*GOOD, [44, 44, "", "layout"]]) == []


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("x", "field 'metadata.pieces': must be a list"),
        (changed(1, [0, 6.0]), "pieces[1]': must be [start, end]"),
        (changed(1, [0, True]), "pieces[1]': must be [start, end]"),
        (changed(1, [6, 0]), "pieces[1]': must be [start, end]"),
        (changed(1, [-1, 6]), "pieces[1]': must be [start, end]"),
        (changed(1, [0, 60]), "pieces[1]': must be [start, end]"),
        (changed(1, [0, 6, "Small "]), "pieces[1]': must be [start, end]"),
        (changed(1, [0, 6, "Small ", " "]), "pieces[1]': must be [start, end]"),
        (changed(1, {"start": 0}), "pieces[1]': must be [start, end]"),
        (changed(1, [0, 5]), "the ranges leave a gap at 5"),
        (changed(1, [0, 7]), "the ranges overlap at 6"),
        (changed(0, [34, 43, "No nodule. ", "order"]), "the ranges end at 43, the reference at 44"),
        (changed(2, [6, 11, "new", "error 0"]), "together they are not the candidate"),
        ([*GOOD[1:], GOOD[0]], "together they are not the candidate"),
        (changed(2, [6, 11, "left", "error 1"]), "pieces[2]': there is no error 1"),
        (changed(2, [6, 11, "left", "side"]), "'errors[0]': no piece makes it"),
        (
            [*changed(2, [6, 11, "left", "side"])[:-1], [22, 34, "Quibblefox.", "error 0"]],
            "'errors[0].reference_span': stands elsewhere",
        ),
    ],
)
def test_what_is_wrong_is_said(made, says):
    (problem,) = found(made)
    assert says in problem


def test_a_span_in_the_candidate_touches_its_piece():
    (problem,) = found(errors=(Error("inaccuracy", "laterality", "right", "No nodule", "significant"),))
    assert "'errors[0].candidate_span': stands elsewhere" in problem
    # Of several places with the same words one is enough; what is deleted leaves a place between two letters.
    text = "a b. a (c."
    omission = Error("omission", "finding", "a (c", "a", "significant")
    pair = Pair("a", "r", text, "a b. a.", (omission,), {"pieces": [[0, 6], [6, 9, "", "error 0"], [9, 10]]})
    assert list(pieces.problems(pair)) == []


def test_rules_are_of_their_errors():
    assert found(rules=[RULE]) == []
    assert "must name one rule for each error" in found(rules=[])[0]
    assert "must name one rule for each error" in found(rules=RULE)[0]
    assert "rules[0]': no rule of the taxonomy" in found(rules=["laterality.inaccuracy"])[0]
    assert "rules[0]': no rule of the taxonomy" in found(rules=[["x"]])[0]
    other = Error("inaccuracy", "laterality", "right effusion", "left effusion", "insignificant")
    assert "is of another aspect, type or severity" in found(errors=(other,), rules=[RULE])[0]
