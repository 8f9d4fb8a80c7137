"""What two judges of the same pairs differ by, in D, R and all that is made of them: interval and p.

p comes from a permutation test that swaps whole references: if the two judges are alike, it is nothing but chance
which of them gave which answers on the pairs of a reference. In each of m permutations every reference has the two
judges' answers swapped or not, with even chances. p = (b + 1)/(m + 1), two-sided: b of them have a difference at
least as far from 0 as the one found. Pairs of one reference stay together, as in the bootstrap.

The interval is of the paired bootstrap over references (both judges on the same resamples), and, for the reasons that
`intervals` gives, never narrower than one that takes pairs as independent: Newcombe's score interval for paired
shares (Stat. Med. 1998; 17:2635, method 10) for D and R, and from these by squaring and adding for the others.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from reeval.metrics import dr
from reeval.metrics.intervals import Ends, Resampled, envelope, harmonics, percentiles, squared_and_added
from reeval.metrics.rates import Rate

PERMUTATIONS = 10_000
MEASURES = ("D", "R", "balanced", "harmonic", "bias")
_PORTION = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """First minus second, in percentage points; nan, and p 1, where there is no pair to know from."""

    difference: float
    low: float
    high: float
    p: float


def differences(
    gold_significant: np.ndarray,
    judged_KP: np.ndarray,
    reference_ids: np.ndarray,
    tests: Sequence[tuple[int, int]],
    drawn: Resampled,
    *,
    confidence: float = 0.95,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[dict[str, Difference]]:
    """For each test, a pair of judges, the difference in each of `MEASURES`.

    Args:
        gold_significant: bool [P].
        judged_KP: int8 [K, P], the judgements of K judges, as in `dr.score`.
        reference_ids: [P] of any sortable type.
        drawn: of the same, by `intervals.resampled`.
        seed: the same seed and pairs give the same figures, whatever the order of the pairs and of the other judges.
    """
    right_KP = np.array([dr.correct(gold_significant, judged) for judged in judged_KP], bool)
    swapped = _Swapped.of(right_KP, gold_significant, reference_ids, permutations, seed)
    return [
        {
            "D": _share(right_KP[:, gold_significant], i, k, drawn.D_KN, swapped.p(i, k, "D"), confidence),
            "R": _share(right_KP[:, ~gold_significant], i, k, drawn.R_KN, swapped.p(i, k, "R"), confidence),
            **{
                name: _composite(name, right_KP, gold_significant, i, k, drawn, swapped.p(i, k, name), confidence)
                for name in MEASURES[2:]
            },
        }
        for i, k in tests
    ]


def newcombe_paired(first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> Ends:
    """Newcombe's method 10 for the difference of two shares, in percentage points, of the same n >= 1 cases.

    Args:
        first, second: bool [n], which cases each got right.
    """
    n = len(first)
    one, two = Rate(int(first.sum()), n), Rate(int(second.sum()), n)
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_one, only_two = one.right - both, two.right - both
    # Their correlation, with a correction for continuity where it is above 0.
    covariance: float = both * neither - only_one * only_two
    if covariance > 0:
        covariance = max(covariance - n / 2, 0)
    spread = math.sqrt(one.right * (n - one.right) * two.right * (n - two.right))
    phi = covariance / spread if spread else 0.0
    (one_low, one_high), (two_low, two_high) = one.wilson(confidence), two.wilson(confidence)
    p, q = one.percent, two.percent

    def distance(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    return p - q - distance(p - one_low, two_high - q), p - q + distance(one_high - p, q - two_low)


@dataclasses.dataclass(frozen=True, slots=True)
class _Swapped:
    """Sums over references with random signs: all that any permutation of any two judges is made of.

    With s = 1 where a reference is kept and -1 where it is swapped, the permuted difference of two judges' sums of
    right pairs is the sum of s times their difference in each reference, and what the two have together stays.

    Attributes:
        d_NK, r_NK: float that holds integers, the signed sums of right significant and insignificant pairs.
        d_K, r_K: without signs.
        d_n, r_n: how many pairs there are of each kind.
    """

    d_NK: np.ndarray
    r_NK: np.ndarray
    d_K: np.ndarray
    r_K: np.ndarray
    d_n: int
    r_n: int

    @classmethod
    def of(
        cls, right_KP: np.ndarray, gold: np.ndarray, reference_ids: np.ndarray, permutations: int, seed: int
    ) -> "_Swapped":
        names, cluster = np.unique(reference_ids, return_inverse=True)
        columns = [np.bincount(cluster, right & kind, len(names)) for right in right_KP for kind in (gold, ~gold)]
        counts = np.stack(columns, axis=-1) if columns else np.zeros((len(names), 0))  # [C, 2K]
        random = np.random.default_rng(seed)
        signed = np.concatenate(
            [
                (2.0 * random.integers(0, 2, (min(_PORTION, permutations - start), len(names)), np.int8) - 1) @ counts
                for start in range(0, permutations, _PORTION)
            ]
        )
        total = counts.sum(0)
        d_n, r_n = int(gold.sum()), int((~gold).sum())
        return cls(signed[:, ::2], signed[:, 1::2], total[::2], total[1::2], d_n, r_n)

    def p(self, i: int, k: int, measure: str) -> float:
        if not (self.d_n or measure == "R") or not (self.r_n or measure == "D"):
            return 1.0
        d_N, r_N = self.d_NK[:, i] - self.d_NK[:, k], self.r_NK[:, i] - self.r_NK[:, k]
        d, r = self.d_K[i] - self.d_K[k], self.r_K[i] - self.r_K[k]
        if measure == "harmonic":
            # What the two judges have together stays as it is.
            sums = self.d_K[i] + self.d_K[k], self.r_K[i] + self.r_K[k]
            permuted, found = self._harmonic(d_N, r_N, *sums), self._harmonic(np.array([d]), np.array([r]), *sums)
            far = np.abs(permuted) >= np.abs(found) - 1e-9  # what is as far must not be less by rounding
        else:
            # In integers, where as far is as far.
            weight = {"D": (1, 0), "R": (0, 1), "balanced": (self.r_n, self.d_n), "bias": (self.r_n, -self.d_n)}
            a, b = weight[measure]
            far = np.abs(a * d_N + b * r_N) >= abs(a * d + b * r)
        return float((np.count_nonzero(far) + 1) / (len(far) + 1))

    def _harmonic(self, d: np.ndarray, r: np.ndarray, d_sum: float, r_sum: float) -> np.ndarray:
        one, two = (
            harmonics(50 * (d_sum + sign * d) / self.d_n, 50 * (r_sum + sign * r) / self.r_n) for sign in (1, -1)
        )
        return one - two


def _share(right_KP: np.ndarray, i: int, k: int, drawn_KN: np.ndarray, p: float, confidence: float) -> Difference:
    """Of D or R, over the pairs that are given."""
    first, second = right_KP[i], right_KP[k]
    if not first.size:
        return Difference(math.nan, math.nan, math.nan, p)
    low, high = envelope(newcombe_paired(first, second, confidence), percentiles(drawn_KN[i] - drawn_KN[k], confidence))
    return Difference(float(100 * (first.mean() - second.mean())), low, high, p)


def _composite(
    name: str,
    right_KP: np.ndarray,
    gold: np.ndarray,
    i: int,
    k: int,
    drawn: Resampled,
    p: float,
    confidence: float,
) -> Difference:
    if gold.all() or not gold.any():
        return Difference(math.nan, math.nan, math.nan, p)
    of = {"balanced": dr.balanced, "harmonic": dr.harmonic, "bias": dr.bias}[name]
    of_arrays: Callable[[np.ndarray, np.ndarray], np.ndarray] = harmonics if name == "harmonic" else of  # type: ignore[assignment]
    sides = [right_KP[:, gold], right_KP[:, ~gold]]
    (d_i, r_i), (d_k, r_k) = (tuple(100 * float(side[judge].mean()) for side in sides) for judge in (i, k))

    def difference(x: float, y: float) -> float:
        """Of `name` where D differs by x and R by y, about what the two judges' D and R are in the middle."""
        halves = [((d_i + d_k + s * x) / 2, (r_i + r_k + s * y) / 2) for s in (1, -1)]
        one, two = (of(min(max(D, 0.0), 100.0), min(max(R, 0.0), 100.0)) for D, R in halves)
        return one - two

    ends = [newcombe_paired(side[i], side[k], confidence) for side in sides]
    free = squared_and_added(difference, (d_i - d_k, *ends[0]), (r_i - r_k, *ends[1]), falls_in_second=name == "bias")
    found = of_arrays(drawn.D_KN[i], drawn.R_KN[i]) - of_arrays(drawn.D_KN[k], drawn.R_KN[k])
    low, high = envelope(free, percentiles(found, confidence))
    return Difference(of(d_i, r_i) - of(d_k, r_k), low, high, p)
