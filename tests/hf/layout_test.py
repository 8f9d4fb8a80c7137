"""The two directions of a layout undo each other, and a part is the same however it is read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeval.hf import gemma3, qwen3
from reeval.hf.layout import Entry

LAYOUTS = ["D->D", "VD->VD", "FD->DF", "(NH)D->DNH", "D(NH)->NHD", "D(ABC)E->CEADB"]


@st.composite
def parts(draw):
    """A layout, the shape of one layer in our axes, and a part of it."""
    entry = Entry("ours", "theirs", draw(st.sampled_from(LAYOUTS)))
    shape = [draw(st.integers(1, 5)) for _ in entry.letters]
    index = []
    for size in shape:
        start = draw(st.integers(0, size - 1))
        index.append(slice(start, draw(st.integers(start + 1, size))))
    return entry, shape, index


@given(parts())
def test_a_part_is_that_part_of_the_whole(case):
    entry, shape, index = case
    whole = np.arange(np.prod(shape)).reshape(shape)
    tensor = entry.to_file(whole)
    assert tensor.shape == entry.file_shape(shape)
    np.testing.assert_array_equal(entry.from_file(tensor, shape), whole)
    got = entry.read_part(lambda slices: tensor[slices], index, shape)
    np.testing.assert_array_equal(got, whole[tuple(index)])


def test_an_axis_that_the_file_keeps_is_cut_there():
    read = []
    tensor = np.arange(24).reshape(6, 4)

    def reader(slices):
        read.append(slices)
        return tensor[slices]

    Entry("ours", "theirs", "(NH)D->DNH").read_part(reader, [slice(1, 3), slice(2, 3), slice(None)], (4, 3, 2))
    assert read == [(slice(4, 6), slice(1, 3))]


# The decoders': what else a model has gets no adapters.
LINEAR = [
    entry
    for entry in (*qwen3.TABLE, *gemma3.TABLE)
    if "norm" not in entry.path and not entry.path.startswith(("vision.", "projector."))
]


@pytest.mark.parametrize("entry", LINEAR, ids=lambda entry: entry.name)
def test_matrices_of_linear_layers_are_in_then_out_here(entry):
    """What adapters rely on; the embedding is no linear layer."""
    expected = "".join(reversed(entry.groups)) if entry.path.endswith(".w") else "VD"
    assert entry.letters == expected
