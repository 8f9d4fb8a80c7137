"""What is prefilled together, and where its entries go."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reeval.decode.packing import Piece, bucket, buckets, fill, packed

LENGTHS = st.lists(st.integers(0, 100), max_size=40)


@given(longest=st.integers(1, 40_000), data=st.data())
def test_lengths_come_in_few_sizes_and_little_is_wasted(longest, data):
    sizes = buckets(longest)
    assert sizes == sorted(set(sizes)) and sizes[-1] == longest
    assert len(sizes) <= 2 * max(1, longest.bit_length() - 5)
    length = data.draw(st.integers(0, longest))
    size = bucket(sizes, length)
    assert length <= size <= max(64, 2 * length)
    assert size < 1.6 * length or length <= 256


@given(lengths=LENGTHS, places=st.integers(0, 20), rows=st.integers(1, 4), alone=st.booleans())
def test_those_that_wait_longest_come_first_and_rows_hold_what_they_can(lengths, places, rows, alone):
    filled = fill(lengths, places, rows, 100, alone=alone)
    taken = [i for row in filled for i in row]
    assert len(filled) <= rows and len(taken) == len(set(taken)) <= places
    assert all(sum(lengths[i] for i in row) <= 100 and row for row in filled)
    if alone:
        assert taken == list(range(min(len(lengths), places, rows)))
    left = [i for i in range(len(lengths)) if i not in taken]
    if filled:
        assert filled[0][0] == 0
    if left and places > len(taken):
        # Nothing that stayed had room.
        assert len(filled) == rows
        assert alone or all(sum(lengths[i] for i in row) + lengths[j] > 100 for row in filled for j in left)


def test_a_row_is_filled_as_well_as_it_can_be():
    assert fill([30, 90, 50, 69, 10], 2, 1, 100, alone=False) == [[0, 3]]
    assert fill([30, 90, 50, 69, 10], 9, 1, 100, alone=False) == [[0, 3]]
    assert fill([30, 90, 50, 60, 10], 9, 2, 100, alone=False) == [[0, 3, 4], [1]]


def test_each_entry_knows_its_place():
    first, second, third = Piece([5, 6, 7], slot=4, start=20, at=0), Piece([8], 1, 3, 0), Piece([9, 9], 0, 20, 11)
    rows = packed([[first, second], [third]], 2, 6, beyond=50)
    assert rows.tokens_RT.tolist() == [[5, 6, 7, 8, 0, 0], [9, 9, 0, 0, 0, 0]]
    assert rows.positions_RT.tolist() == [[20, 21, 22, 3, 0, 0], [31, 32, 0, 0, 0, 0]]
    assert rows.segments_RT.tolist() == [[1, 1, 1, 2, 0, 0], [1, 1, 0, 0, 0, 0]]
    assert rows.start_RT.tolist() == [[20, 20, 20, 3, 0, 0], [20, 20, 0, 0, 0, 0]]
    assert rows.slot_RT[0, :4].tolist() == [4, 4, 4, 1]
    assert rows.index_RT.tolist() == [[0, 1, 2, 0, 50, 50], [11, 12, 50, 50, 50, 50]]
    assert all(array.dtype == np.int32 for array in rows)
