import numpy as np
import pytest

from reeval.metrics.paired import McNemar, mcnemar


def test_by_hand():
    # Significant pairs: 1 only the first right, 6 only the second, 2 both, 1 neither (unparsable for both).
    gold = np.array([1] * 10 + [0] * 4, bool)
    first = np.array([1] + [0] * 6 + [1, 1, -1] + [0, 0, 1, 0], np.int8)
    second = np.array([0] + [1] * 6 + [1, 1, -1] + [0, 0, 1, 0], np.int8)
    tests = mcnemar(gold, first, second)
    # Two-sided exact p of 1 in 7: 2 * (1 + 7) / 2^7.
    assert tests["D"] == McNemar(1, 6, 10, pytest.approx(0.125))
    assert tests["R"] == McNemar(0, 0, 4, 1.0)
    swapped = mcnemar(gold, second, first)["D"]
    assert swapped == McNemar(6, 1, 10, pytest.approx(0.125))


def test_a_pair_that_cannot_be_parsed_is_lost_to_the_other_judge():
    tests = mcnemar(np.array([True, False]), np.array([-1, -1], np.int8), np.array([1, 0], np.int8))
    assert (tests["D"].only_second, tests["R"].only_second) == (1, 1)


def test_without_pairs_there_is_no_difference():
    flagged = np.array([1], np.int8)
    assert mcnemar(np.array([True]), flagged, flagged)["R"] == McNemar(0, 0, 0, 1.0)
