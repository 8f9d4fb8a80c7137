"""The largest batch that fits, found with few questions."""

import math

import pytest

from reeval.plan.search import largest

SHAPES = {
    "a line": (lambda rows: 5 + 3 * rows, 5),
    "a line with steps": (lambda rows: 5 + 3 * rows + 7 * (rows // 16), 7),
    "a parabola": (lambda rows: 5 + rows + rows**2 / 50, 18),
    "a root": (lambda rows: 5 + 100 * math.sqrt(rows), 18),
    "flat, then steep": (lambda rows: 5 + max(0, rows - 100) * 50, 18),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("unit", [1, 8])
@pytest.mark.parametrize("fit", [0, 1, 2, 3, 5, 8, 21, 64, 77, 300, 1024])
def test_the_largest_multiple_that_fits_is_found(shape, unit, fit):
    memory, seldom = SHAPES[shape]
    limit = memory(fit)
    asked = []

    def peak(rows):
        assert rows % unit == 0
        asked.append(rows // unit)
        return memory(rows // unit)

    # `fit` multiples fit, and as many more as take no more memory.
    most = max(n for n in range(1025) if memory(n) <= limit)
    assert largest(peak, limit, unit) == most * unit
    assert len(asked) == len(set(asked)) <= seldom and all(1 <= n <= 1024 for n in asked)


def test_no_more_than_the_most_is_asked():
    assert largest(lambda rows: rows, 1000, 1, most=64) == 64


def test_where_it_only_says_that_it_does_not_fit_less_is_asked():
    assert largest(lambda rows: 10.0 * rows if rows <= 37 else math.inf, 1000, 1) == 37
    assert largest(lambda rows: math.inf, 1000, 1) == 0
