"""Every two evaluators tested against each other on the same pairs, and one-pass against two-pass of each.

Two evaluators are tested within a mode. A scalar metric, which has but one, is tested in each mode of the others, and
against other metrics. p is McNemar's exact one for D and R, and of the cluster permutation test for what is made of
both; Holm's adjustment is over all tests of one measure in one family: "one_pass", "two_pass" and "scalar" are the
tests of evaluators in that mode, "modes" those of two-pass against one-pass over all evaluators.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from reeval.evaluate.summary import number
from reeval.metrics.differences import MEASURES, Difference, differences
from reeval.metrics.holm import holm
from reeval.metrics.intervals import Resampled
from reeval.metrics.paired import McNemar, mcnemar
from reeval.study.columns import SCALAR

Key = tuple[str, str]  # name and mode of an evaluator
Test = dict[str, Any]
ACROSS = "modes"


def tests(
    gold: np.ndarray,
    judged: Mapping[Key, np.ndarray],
    references: np.ndarray,
    drawn: Resampled,
    *,
    confidence: float,
    permutations: int,
    seed: int,
) -> list[Test]:
    """All tests, those of two-pass against one-pass among them.

    Args:
        judged: int8 [P] of each evaluator, as in `dr.score`, in the order of `drawn`.
    """
    keys = list(judged)
    planned = [(a, b, family) for a, b in itertools.combinations(keys, 2) if (family := _family(a, b))]
    # As two-pass less one-pass.
    planned = [(b, a, f) if f == ACROSS and a[1] == "one_pass" else (a, b, f) for a, b, f in planned]
    at = {key: i for i, key in enumerate(keys)}
    found = differences(
        gold,
        np.array(list(judged.values())),
        references,
        [(at[a], at[b]) for a, b, _ in planned],
        drawn,
        confidence=confidence,
        permutations=permutations,
        seed=seed,
    )
    made = []
    for (a, b, family), difference in zip(planned, found, strict=True):
        exact = mcnemar(gold, judged[a], judged[b])
        measures = {name: _measure(difference[name], exact.get(name)) for name in MEASURES}
        made.append({"first": list(a), "second": list(b), "family": family, **measures})
    _adjust(made)
    return made


def _family(one: Key, other: Key) -> str | None:
    if one[0] == other[0]:
        return ACROSS if {one[1], other[1]} == {"one_pass", "two_pass"} else None
    modes = {one[1], other[1]} - {SCALAR}
    return modes.pop() if len(modes) == 1 else SCALAR if not modes else None


def _measure(found: Difference, exact: McNemar | None) -> dict[str, Any]:
    difference = {name: number(getattr(found, name)) for name in ("difference", "low", "high")}
    if exact is None:
        return difference | {"p": found.p}
    # Of D and R both ps: the exact one, and that which keeps the pairs of a reference together.
    return difference | dataclasses.asdict(exact) | {"p_permutation": found.p}


def _adjust(made: list[Test]) -> None:
    for family in {test["family"] for test in made}:
        mine = [test for test in made if test["family"] == family]
        for measure in MEASURES:
            adjusted = holm(np.array([test[measure]["p"] for test in mine]))
            for test, p in zip(mine, adjusted, strict=True):
                test[measure]["p_holm"] = float(p)
