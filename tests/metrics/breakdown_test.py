import numpy as np

from reeval.metrics.breakdown import NOT_FOUND, GroupScores, by_group, severity_by_group
from reeval.metrics.rates import Rate

# Pair 0: significant, errors S of group 0 and I of group 1; flagged.
# Pair 1: significant, error S of group 1; missed.
# Pair 2: insignificant, errors I and I of group 1; passed.
# Pair 3: insignificant, error I of group 0; unparsable.
# Pair 4: no error; passed. It belongs to no group.
GOLD = np.array([1, 1, 0, 0, 0], bool)
JUDGED = np.array([1, 0, 0, -1, 0], np.int8)
PAIR = np.array([0, 0, 1, 2, 2, 3])
SIGNIFICANT = np.array([1, 0, 1, 0, 0, 0], bool)
GROUP = np.array([0, 1, 1, 1, 1, 0])


def test_d_and_r_by_group_by_hand():
    zero, one, empty = by_group(GOLD, JUDGED, PAIR, SIGNIFICANT, GROUP, 3)
    assert zero == GroupScores(D=Rate(1, 1), R=Rate(0, 1))
    # Pair 0 has an error of group 1, but no significant one: it does not count for D of group 1.
    assert one == GroupScores(D=Rate(0, 1), R=Rate(1, 1))
    assert empty == GroupScores(D=Rate(0, 0), R=Rate(0, 0))


def test_severity_by_group_by_hand():
    #                 S0 right, I1 called S, S1 not found, I1 right, I1 not found, I0 not found
    answer = np.array([1, 1, NOT_FOUND, 0, NOT_FOUND, NOT_FOUND], np.int8)
    zero, one, empty = severity_by_group(SIGNIFICANT, answer, GROUP, 3)
    assert (zero.found, zero.right) == (Rate(1, 2), Rate(1, 1))
    assert (zero.found_significant, zero.found_insignificant) == (Rate(1, 1), Rate(0, 1))
    assert (zero.right_significant, zero.right_insignificant) == (Rate(1, 1), Rate(0, 0))
    assert (one.found, one.right) == (Rate(2, 4), Rate(1, 2))
    assert (one.found_significant, one.found_insignificant) == (Rate(0, 1), Rate(2, 3))
    assert (one.right_significant, one.right_insignificant) == (Rate(0, 0), Rate(1, 2))
    assert empty.found == Rate(0, 0)


def test_a_judge_that_maps_group_to_label_shows():
    # Group 0 is mostly significant, group 1 mostly not; the judge always says so: 90 % right in each.
    significant = np.array([1] * 9 + [0] + [0] * 9 + [1], bool)
    group = np.repeat([0, 1], 10)
    for scores in severity_by_group(significant, 1 - group, group, 2):
        assert scores.right.percent == 90
        assert {scores.right_significant.percent, scores.right_insignificant.percent} == {100, 0}
