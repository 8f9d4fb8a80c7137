"""D and R, and the accuracy of severity, by aspect and type.

D and R judge pairs. A judge that maps each type of error to one label can score well in both where the test
set pairs types with labels, so the severity of single errors is counted too: apart for significant and for
insignificant ones, where such a judge shows as 100 and 0.
"""

import dataclasses

import numpy as np

from reeval.metrics.dr import correct
from reeval.metrics.rates import Rate, rate

NOT_FOUND = -1


@dataclasses.dataclass(frozen=True, slots=True)
class GroupScores:
    """D and R over the pairs with an error of one group. A pair with errors of several counts in each.

    `D`: of the significant pairs that have a significant error of the group, those judged significant. The
    judge may have flagged the pair for another of its errors: `SeverityScores` looks at the error itself.
    `R`: of the insignificant pairs that have an error of the group, those judged not significant.
    """

    D: Rate
    R: Rate


@dataclasses.dataclass(frozen=True, slots=True)
class SeverityScores:
    """What became of the gold errors of one group.

    `found`: of all, those that the judge listed (`matching.match`); those of an unparsable verdict are not.
    `right`: of those found, the ones given their gold severity. `*_significant`, `*_insignificant`: the same
    among the errors whose gold severity is that one.
    """

    found: Rate
    found_significant: Rate
    found_insignificant: Rate
    right: Rate
    right_significant: Rate
    right_insignificant: Rate


def by_group(
    gold_significant: np.ndarray,
    judged: np.ndarray,
    error_pair: np.ndarray,
    error_significant: np.ndarray,
    error_group: np.ndarray,
    groups: int,
) -> list[GroupScores]:
    """D and R for each of `groups` groups of errors (aspects, types or cells).

    Args:
        gold_significant: bool [P]; judged: int8 [P], as in `dr.score`.
        error_pair: int [E], the pair of each gold error.
        error_significant: bool [E].
        error_group: int [E], the group of each gold error, from 0.
    """
    right = correct(gold_significant, judged)
    scores = []
    for group in range(groups):
        mine = error_group == group
        significant, with_any = np.zeros_like(gold_significant), np.zeros_like(gold_significant)
        significant[error_pair[mine & error_significant]] = True
        with_any[error_pair[mine]] = True
        scores.append(GroupScores(D=rate(right, significant), R=rate(right, with_any & ~gold_significant)))
    return scores


def severity_by_group(
    error_significant: np.ndarray, answer: np.ndarray, error_group: np.ndarray, groups: int
) -> list[SeverityScores]:
    """How the errors of each group were found and graded.

    Args:
        error_significant: bool [E], the gold severity.
        answer: int8 [E], the judge's: 1 significant, 0 insignificant, NOT_FOUND.
        error_group: int [E], from 0.
    """
    assert error_significant.shape == answer.shape == error_group.shape
    found = answer != NOT_FOUND
    right = found & ((answer == 1) == error_significant)
    scores = []
    for group in range(groups):
        mine = error_group == group
        scores.append(
            SeverityScores(
                found=rate(found, mine),
                found_significant=rate(found, mine & error_significant),
                found_insignificant=rate(found, mine & ~error_significant),
                right=rate(right, mine & found),
                right_significant=rate(right, mine & found & error_significant),
                right_insignificant=rate(right, mine & found & ~error_significant),
            )
        )
    return scores
