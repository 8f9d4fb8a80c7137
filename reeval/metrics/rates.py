"""A share with its n: no percentage of this project travels without them."""

import dataclasses
import math
import statistics

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """`right` of `n` cases."""

    right: int
    n: int

    @property
    def percent(self) -> float:
        """In percent; nan if there is no case."""
        return 100 * self.right / self.n if self.n else math.nan

    def wilson(self, confidence: float = 0.95) -> tuple[float, float]:
        """The Wilson score interval, in percent; (nan, nan) if there is no case.

        It takes the cases as independent. Pairs that share a reference are not quite: see `intervals`.
        """
        if not self.n:
            return math.nan, math.nan
        low, high = wilson(self.right / self.n, self.n, confidence)
        # Rounding can leave 99.99999999999999 at an end that is 100.
        at_floor, at_ceiling = self.right == 0, self.right == self.n
        return 0.0 if at_floor else 100 * low, 100.0 if at_ceiling else 100 * high


def rate(right: np.ndarray, among: np.ndarray) -> Rate:
    """The share of `right` among the cases that the mask `among` selects; both bool, of one shape."""
    assert right.shape == among.shape and among.dtype == bool, (right.shape, among.shape, among.dtype)
    return Rate(int(np.count_nonzero(right & among)), int(np.count_nonzero(among)))


def wilson(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval, 0 to 1, about the mean of `n` >= 1 values that each lie from 0 to 1.

    Of such values none have a greater variance than those that are all 0 or 1, for which it was made: about others it
    is wider than it has to be.
    """
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
