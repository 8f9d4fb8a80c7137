"""Discrimination D and Robustness R, and what follows from them.

    D   of the pairs with a significant error, the percentage judged significant
    R   of the pairs without one, the percentage judged not significant
    balanced (D+R)/2,  harmonic 2DR/(D+R),  bias D-R (above 0: over-flags, below 0: misses)

The formulas are not published with the paper (arXiv 2606.18797); these are this project's reading of it.
Higher is better for D, R and their means; 0 is best for the bias. A pair whose output could not be parsed
counts as wrong in D or R, whichever it belongs to, so the reported figure is the worst case; the best case
counts it as right. R rests on pairs whose candidate merely repeats the reference as far as the test set has
them, hence `R_without_identical`.
"""

import dataclasses
import math

import numpy as np

from reeval.metrics.rates import Rate, rate

SIGNIFICANT, NOT_SIGNIFICANT, UNPARSABLE = 1, 0, -1


@dataclasses.dataclass(frozen=True, slots=True)
class Scores:
    """D, R and their companions over P pairs. `*_best` counts what could not be parsed as right."""

    D: Rate
    R: Rate
    R_without_identical: Rate
    D_best: Rate
    R_best: Rate
    parse_failures: Rate

    @property
    def balanced(self) -> float:
        return balanced(self.D.percent, self.R.percent)

    @property
    def balanced_best(self) -> float:
        return balanced(self.D_best.percent, self.R_best.percent)

    @property
    def harmonic(self) -> float:
        return harmonic(self.D.percent, self.R.percent)

    @property
    def harmonic_best(self) -> float:
        return harmonic(self.D_best.percent, self.R_best.percent)

    @property
    def bias(self) -> float:
        return bias(self.D.percent, self.R.percent)

    @property
    def bias_bounds(self) -> tuple[float, float]:
        """The least and the greatest bias that the unparsable pairs allow."""
        return bias(self.D.percent, self.R_best.percent), bias(self.D_best.percent, self.R.percent)


def score(gold_significant: np.ndarray, judged: np.ndarray, identical: np.ndarray) -> Scores:
    """D and R of one judge.

    Args:
        gold_significant: bool [P], whether the pair has a significant error.
        judged: int8 [P], SIGNIFICANT, NOT_SIGNIFICANT or UNPARSABLE.
        identical: bool [P], whether the candidate repeats the reference.
    """
    right = correct(gold_significant, judged)
    unparsable = judged == UNPARSABLE
    return Scores(
        D=rate(right, gold_significant),
        R=rate(right, ~gold_significant),
        R_without_identical=rate(right, ~gold_significant & ~identical),
        D_best=rate(right | unparsable, gold_significant),
        R_best=rate(right | unparsable, ~gold_significant),
        parse_failures=rate(unparsable, np.ones_like(gold_significant)),
    )


def correct(gold_significant: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Whether each pair was judged rightly, bool [P]; an unparsable one was not."""
    assert gold_significant.dtype == bool and gold_significant.shape == judged.shape, "one judgement a pair"
    assert np.isin(judged, (SIGNIFICANT, NOT_SIGNIFICANT, UNPARSABLE)).all(), "judged holds other codes"
    return np.where(gold_significant, judged == SIGNIFICANT, judged == NOT_SIGNIFICANT)


def always_flag(pairs: int) -> np.ndarray:
    """The judge that calls all `pairs` pairs significant: D 100, R 0."""
    return np.full(pairs, SIGNIFICANT, np.int8)


def never_flag(pairs: int) -> np.ndarray:
    """The judge that calls none of `pairs` pairs significant: D 0, R 100."""
    return np.full(pairs, NOT_SIGNIFICANT, np.int8)


def balanced(D: float, R: float) -> float:
    return (D + R) / 2


def harmonic(D: float, R: float) -> float:
    """0 where both are 0; nan where either is unknown."""
    return 2 * D * R / (D + R) if math.isnan(D + R) or D + R else 0.0


def bias(D: float, R: float) -> float:
    return D - R
