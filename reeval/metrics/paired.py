"""Whether two judges differ on the same pairs: McNemar's exact test, for D and for R apart."""

import dataclasses

import numpy as np
from scipy import stats

from reeval.metrics.dr import correct


@dataclasses.dataclass(frozen=True, slots=True)
class McNemar:
    """Of `n` pairs, those that only the first or only the second judge got right, and the two-sided p."""

    only_first: int
    only_second: int
    n: int
    p: float


def mcnemar(gold_significant: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, McNemar]:
    """The exact tests for "D" and "R".

    Args:
        gold_significant: bool [P].
        first, second: int8 [P], the judgements of the same pairs in the same order, as in `dr.score`.
    Returns:
        p is the binomial test of the discordant pairs against 1/2; 1 if there are none.
    """
    one, two = correct(gold_significant, first), correct(gold_significant, second)
    return {"D": _test(one, two, gold_significant), "R": _test(one, two, ~gold_significant)}


def _test(one: np.ndarray, two: np.ndarray, among: np.ndarray) -> McNemar:
    only_first = int(np.count_nonzero(one & ~two & among))
    only_second = int(np.count_nonzero(two & ~one & among))
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_first, only_second, int(np.count_nonzero(among)), p)
