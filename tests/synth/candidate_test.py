"""A candidate put together from edits, variations and orders: exact spans, and a remainder that nothing touched."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeval.synth import document, edit
from reeval.synth.candidate import assemble, fits
from reeval.synth.edit import Change, Edit, Variation

TEXT = (
    "FINDINGS: Heart is big. Small left effusion. No edema. Clips.\n\nIMPRESSION:\n1. Small left effusion.\n2. Edema."
)
DOCUMENT = document.parse(TEXT)
LEFT, AGAIN = TEXT.index("left"), TEXT.rindex("left")
SIDE = Edit(
    "laterality.inaccuracy.wrong-side",
    (Change(LEFT, LEFT + 4, "right"), Change(AGAIN, AGAIN + 4, "right")),
    (LEFT, LEFT + 13),
    frozenset({"pleural_effusion"}),
)
CLIPS = DOCUMENT.sentences[3]
LOST = Edit(
    "device.omission.inert",
    tuple(edit.dropped_sentence(DOCUMENT, 3) or ()),
    (CLIPS.start, CLIPS.end),
    frozenset({"clips"}),
)
EDEMA = TEXT.index("Edema")
ADDED = Edit(
    "recommendation.fabrication.generic",
    edit.added_sentence(DOCUMENT, 5, "Correlate clinically."),
    (len(TEXT), len(TEXT)),
    frozenset({"recommendation"}),
)
BIG = Variation("synonym", (Change(TEXT.index("big"), TEXT.index("big") + 3, "enlarged"),))


def test_all_mentions_change_and_the_spans_are_the_words_concerned():
    made = assemble(DOCUMENT, [ADDED, LOST, SIDE], [BIG])
    assert made.text == (
        "FINDINGS: Heart is enlarged. Small right effusion. No edema.\n\n"
        "IMPRESSION:\n1. Small right effusion.\n2. Edema.\n3. Correlate clinically."
    )
    assert [(e.type, e.reference_span, e.candidate_span) for e in made.errors] == [
        ("inaccuracy", "left effusion", "right effusion"),
        ("fabrication", "", "Correlate clinically."),
        ("omission", "Clips.", ""),
    ]
    assert made.rules == (SIDE.rule, ADDED.rule, LOST.rule)
    assert [e.severity for e in made.errors] == ["significant", "insignificant", "insignificant"]
    kinds = [piece.kind for piece in made.pieces if piece.kind]
    assert kinds == ["synonym", "error 0", "error 2", "error 0", "error 1"]


def test_sentences_move_whole_with_what_changed_in_them():
    made = assemble(DOCUMENT, [SIDE], [BIG], [((0, 1, 2, 3), (2, 1, 0, 3))])
    assert made.text.startswith("FINDINGS: No edema. Small right effusion. Heart is enlarged. Clips.\n\nIMPRESSION:")
    assert (made.errors[0].reference_span, made.errors[0].candidate_span) == ("left effusion", "right effusion")


def test_an_order_that_a_lost_sentence_stands_in_the_way_of_is_left_out():
    made = assemble(DOCUMENT, [LOST], [], [((2, 3), (3, 2))])
    assert "No edema.\n\nIMPRESSION" in made.text and made == assemble(DOCUMENT, [LOST])


def test_what_touches_the_same_words_does_not_fit():
    finding = Edit("finding.inaccuracy.urgency", (Change(LEFT + 5, LEFT + 13, "thickening"),), (LEFT + 5, LEFT + 13))
    assert not fits([SIDE], finding)  # within the words that the side's error quotes
    assert not fits([finding], SIDE)
    assert fits([SIDE], LOST) and fits([SIDE, LOST], ADDED) and fits([SIDE, LOST, ADDED], BIG)
    assert not fits([BIG], Variation("synonym", BIG.changes))
    here = (Change(CLIPS.end, CLIPS.end, " More."),)
    assert not fits([Variation("a", here)], Variation("b", here))  # two things added at one place
    about = Edit("laterality.omission.treated", (Change(AGAIN, AGAIN + 5, ""),), (AGAIN, AGAIN + 4), SIDE.topics)
    assert not fits([LOST, SIDE], about)


@given(st.integers(0, 2**32))
def test_pieces_cover_the_reference_once_and_rebuild_the_candidate(seed):
    rng = random.Random(seed)
    taken: list[Edit] = []
    for start in sorted(rng.sample(range(len(TEXT) - 6), 5)):
        end = start + rng.randint(0, 5)
        new = rng.choice(["", "x", " yes. ", TEXT[start:end] + "z"])
        if start == end and not new:
            continue
        made = Edit("wording.inaccuracy.typo", (Change(start, end, new),), (start, end))
        if fits(taken, made):
            taken.append(made)
    run = tuple(range(4))
    order = (run, tuple(rng.sample(run, 4)))
    made = assemble(DOCUMENT, taken, [], [order])
    assert "".join(piece.text(TEXT) for piece in made.pieces) == made.text
    ranges = sorted((piece.start, piece.end) for piece in made.pieces if piece.start < piece.end)
    assert ranges[0][0] == 0 and ranges[-1][1] == len(TEXT)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))
    assert len(made.errors) == len(taken)
    for error in made.errors:
        assert error.reference_span in TEXT and error.candidate_span in made.text


@pytest.mark.parametrize(("mark", "own"), [("\n{n}. ", "\n3. "), ("\n- ", "\n- ")])
def test_a_sentence_added_to_what_becomes_a_list_is_an_item_of_its_own(mark: str, own: str) -> None:
    report = document.parse("FINDINGS: Heart is normal. No effusion.")
    one, two = report.sentences
    changes = (Change(one.start - 1, one.start, mark.format(n=1)), Change(one.end, two.start, mark.format(n=2)))
    for text, gap in (("Small scar.", own), ("This is new.", " "), ("new since the prior.", " ")):
        added = Change(two.end, two.end, f" {text}")
        told = Edit("finding.fabrication.benign", (added,), (two.end, two.end), frozenset())
        made = assemble(report, [told], [Variation("layout", changes)])
        assert made.text.endswith(f"No effusion.{gap}{text}") and made.errors[0].candidate_span == text
