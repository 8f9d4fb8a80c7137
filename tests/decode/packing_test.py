"""What is prefilled together, and where its entries go."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reeval.decode.packing import Bundle, Piece, Prompt, bucket, buckets, bundles, fill, packed, pieces


@given(longest=st.integers(1, 40_000), data=st.data())
def test_lengths_come_in_few_sizes_and_little_is_wasted(longest, data):
    sizes = buckets(longest)
    assert sizes == sorted(set(sizes)) and sizes[-1] == longest
    assert len(sizes) <= 2 * max(1, longest.bit_length() - 5)
    length = data.draw(st.integers(0, longest))
    size = bucket(sizes, length)
    assert length <= size <= max(64, 2 * length)
    assert size < 1.6 * length or length <= 256


BEGINNINGS = ([], [7] * 20, [7] * 15, [7] * 20 + [8] * 30, [8] * 40)


@st.composite
def waiting(draw):
    """Prompts of at most 100 tokens; what they share is up to what they are made of."""
    texts = st.builds(
        lambda start, beginning, length, token: Prompt(start, beginning + [token] * length),
        st.sampled_from([0, 5]), st.sampled_from(BEGINNINGS), st.integers(0, 50), st.integers(1, 3),
    )  # fmt: skip
    return draw(st.lists(texts, max_size=30))


def size(prompts, bundle):
    """Of a bundle's pieces, as they are packed."""
    return sum(len(piece.tokens) for piece in pieces([bundle], prompts, dict.fromkeys(bundle.members, 0)))


@given(prompts=waiting(), places=st.integers(0, 20), rows=st.integers(1, 4), alone=st.booleans())
def test_those_that_wait_longest_come_first_and_rows_hold_what_they_can(prompts, places, rows, alone):
    filled = fill(prompts, places, rows, 100, alone=alone)
    taken = [i for row in filled for bundle in row for i in bundle.members]
    assert len(filled) <= rows and len(taken) == len(set(taken)) <= places
    assert all(row and sum(size(prompts, bundle) for bundle in row) <= 100 for row in filled)
    if alone:
        assert taken == list(range(min(len(prompts), places, rows)))
    left = [i for i in range(len(prompts)) if i not in taken]
    if filled:
        assert filled[0][0].members[0] == 0
    if left and places > len(taken):
        assert len(filled) == rows
        whole = [bundle for bundle in bundles(prompts) if set(bundle.members) <= set(left)]
        for row in [] if alone else filled:
            free = 100 - sum(size(prompts, bundle) for bundle in row)
            # Nothing that stayed would have fitted, unless there was no place for it.
            assert all(size(prompts, bundle) > free or len(taken) + len(bundle.members) > places for bundle in whole)


@given(prompts=waiting())
def test_bundles_share_what_all_of_them_begin_with(prompts):
    made = bundles(prompts)
    assert sorted(i for bundle in made for i in bundle.members) == list(range(len(prompts)))
    assert made == sorted(made)
    for members, shared in made:
        assert members[0] == min(members)
        assert (shared >= 16) == (len(members) > 1)
        assert len({(prompts[i].start, *prompts[i].tokens[:shared]) for i in members}) == 1
        assert all(len(prompts[i].tokens) >= shared for i in members)


def test_the_bundle_that_saves_most_is_chosen():
    far, near = [7] * 20, [7] * 60
    prompts = [Prompt(3, [*near, 1]), Prompt(3, [*far, 1]), Prompt(3, [*near, 2, 2]), Prompt(3, [*far, 2])]
    assert bundles(prompts) == [([0, 2], 60), ([1, 3], 20)]
    assert bundles([*prompts, Prompt(3, [*far, 3, 3])]) == [([0, 2, 1, 3, 4], 20)]
    assert bundles([Prompt(3, far), Prompt(4, far)]) == [([0], 0), ([1], 0)]
    assert bundles([Prompt(3, far), Prompt(3, far)]) == [([0, 1], 20)]


def test_a_row_is_filled_as_well_as_it_can_be():
    prompts = [Prompt(0, [token] * length) for token, length in enumerate([30, 90, 50, 69, 10])]
    assert fill(prompts, 2, 1, 100, alone=False) == [[([0], 0), ([3], 0)]]
    assert fill(prompts, 9, 1, 100, alone=False) == [[([0], 0), ([3], 0)]]
    prompts[3] = Prompt(0, [3] * 60)
    assert fill(prompts, 9, 2, 100, alone=False) == [[([0], 0), ([3], 0), ([4], 0)], [([1], 0)]]


def test_a_bundle_parts_where_there_is_no_room_for_it():
    prompts = [Prompt(0, [7] * 30 + [token] * 20) for token in range(4)]
    assert fill(prompts, 9, 2, 100, alone=False) == [[([0, 1, 2], 30)], [([3], 0)]]
    assert fill(prompts, 2, 2, 100, alone=False) == [[([0, 1], 30)]]
    assert fill(prompts, 9, 2, 60, alone=False) == [[([0], 0)], [([1], 0)]]
    # Others go where a bundle would have to part, though one of its members would fit.
    prompts[2:] = [Prompt(0, [8] * 30 + [token] * 20) for token in range(2)] + [Prompt(0, [9] * 10)]
    assert fill(prompts, 9, 1, 125, alone=False) == [[([0, 1], 30), ([4], 0)]]
    assert fill(prompts, 3, 1, 200, alone=False) == [[([0, 1], 30), ([4], 0)]]
    assert fill(prompts, 3, 2, 75, alone=False) == [[([0, 1], 30)], [([2], 0)]]


def test_each_entry_knows_its_place():
    prompts = [Prompt(20, [5, 6, 7, 7]), Prompt(3, [8]), Prompt(20, [5, 6, 9])]
    row = pieces([Bundle([0, 2], 2), Bundle([1], 0)], prompts, {0: 4, 1: 1, 2: 6})
    assert row == [
        Piece([5, 6], [4, 6], 20, 0), Piece([7, 7], [4], 20, 2, after=1), Piece([9], [6], 20, 2, after=1),
        Piece([8], [1], 3, 0),
    ]  # fmt: skip
    rows, writes = packed([row, [Piece([9, 9], [0], start=20, at=11)]], 2, 7, beyond=50)
    assert rows.tokens_RT.tolist() == [[5, 6, 7, 7, 9, 8, 0], [9, 9, 0, 0, 0, 0, 0]]
    assert rows.positions_RT.tolist() == [[20, 21, 22, 23, 22, 3, 0], [31, 32, 0, 0, 0, 0, 0]]
    assert rows.segments_RT.tolist() == [[1, 1, 2, 2, 3, 4, 0], [1, 1, 0, 0, 0, 0, 0]]
    assert rows.parents_RT.tolist() == [[1, 1, 1, 1, 1, 4, 0], [1, 1, 0, 0, 0, 0, 0]]
    assert rows.start_RT.tolist() == [[20, 20, 20, 20, 20, 3, 0], [20, 20, 0, 0, 0, 0, 0]]
    first, second = writes
    assert first.slot_RT[0, :6].tolist() == [4, 4, 4, 4, 6, 1]
    assert first.index_RT.tolist() == [[0, 1, 2, 3, 2, 0, 50], [11, 12, 50, 50, 50, 50, 50]]
    assert second.slot_RT[0, :2].tolist() == [6, 6]
    assert second.index_RT.tolist() == [[0, 1, 50, 50, 50, 50, 50], [50] * 7]
    assert all(array.dtype == np.int32 for array in (*rows, *first, *second))
