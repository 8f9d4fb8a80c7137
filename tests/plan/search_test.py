"""The largest batch that fits, found with few questions."""

import pytest

from reeval.plan.search import largest


@pytest.mark.parametrize("unit", [1, 8])
@pytest.mark.parametrize("limit", [0, 1, 2, 3, 5, 8, 21, 64, 1000])
def test_the_largest_multiple_that_fits_is_found(unit, limit):
    asked = []

    def fits(rows):
        asked.append(rows)
        return rows <= limit * unit

    assert largest(fits, unit, most=64) == min(limit, 64) * unit
    assert len(asked) == len(set(asked)) <= 13
    assert all(rows % unit == 0 for rows in asked)
