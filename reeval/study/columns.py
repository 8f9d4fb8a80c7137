"""Judgements of one evaluator in one mode, in the order of the pairs, as the columns that statistics take."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from reeval.judgements import Judgement
from reeval.metrics import dr
from reeval.pairs import Error, Pair
from reeval.taxonomy import ASPECTS, TYPES

SCALAR = "scalar"


@dataclasses.dataclass(frozen=True)
class Column:
    """
    Attributes:
        judgements: of P pairs, one each.
    """

    name: str
    mode: str
    judgements: Sequence[Judgement]

    @cached_property
    def judged(self) -> np.ndarray:
        """int8 [P], as in `dr.score`; of a scalar metric, which gives no verdict, all are UNPARSABLE."""
        code = {True: dr.SIGNIFICANT, False: dr.NOT_SIGNIFICANT, None: dr.UNPARSABLE}
        return np.array([code[each.significant if each.parsed else None] for each in self.judgements], np.int8)

    @cached_property
    def scores(self) -> np.ndarray:
        """float [P], of a scalar metric, higher is a better candidate; nan where there is none."""
        return np.array([_finite(each.score if each.parsed else None) for each in self.judgements], float)

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """float [P], nan where it could not be parsed; None unless all others have one."""
        known = [each.probability for each in self.judgements if each.parsed and each.significant is not None]
        if not known or any(value is None or not 0 <= value <= 1 for value in known):
            return None
        parsed = self.judged != dr.UNPARSABLE
        values = [each.probability if ok else None for each, ok in zip(self.judgements, parsed, strict=True)]
        return np.array([_finite(value) for value in values], float)

    @cached_property
    def errors(self) -> list[tuple[Error, ...] | None] | None:
        """Of each pair those with a place in the taxonomy; None of an evaluator that places no error it names.

        So has a metric that gives labels or numbers alone, and one with other types of errors or without aspects.
        """
        found = [each.errors if each.parsed else None for each in self.judgements]
        placed = [None if errors is None else tuple(filter(_placed, errors)) for errors in found]
        named, kept = (sum(len(errors or ()) for errors in each) for each in (found, placed))
        return None if all(errors is None for errors in found) or (named and not kept) else placed

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """What orders candidates, by its name: float [P], the higher the worse; nan where it is unknown.

        The numbers of errors where errors are named, else the verdict; and probability and score where they exist.
        """
        if self.mode == SCALAR:
            return {"score": -self.scores}
        listed = [each.errors if each.parsed else None for each in self.judgements]
        made: dict[str, np.ndarray] = {}
        if any(errors is not None for errors in listed):
            counts = [[math.nan] * 2 if e is None else [sum(x.significant for x in e), len(e)] for e in listed]
            made["significant errors"], made["errors"] = np.array(counts, float).T
        else:
            made["verdict"] = np.where(self.judged == dr.UNPARSABLE, math.nan, self.judged)
        return made | ({} if self.probabilities is None else {"probability": self.probabilities})


def columns(
    pairs: Sequence[Pair], judged: Mapping[str, Mapping[str, Sequence[Judgement]]]
) -> dict[str, dict[str, Column]]:
    """Name -> mode -> column.

    Raises:
        ValueError: unless each evaluator has one judgement of every pair in each of its modes, and of no other.
    """
    return {
        name: {mode: Column(name, mode, _in_order(f"{name} {mode}", pairs, found)) for mode, found in modes.items()}
        for name, modes in judged.items()
    }


def _in_order(who: str, pairs: Sequence[Pair], found: Sequence[Judgement]) -> list[Judgement]:
    by_id = {each.pair_id: each for each in found}
    if len(by_id) < len(found):
        raise ValueError(f"{who}: {len(found) - len(by_id)} pairs are judged twice; leave one judgement of each")
    missing = [pair.pair_id for pair in pairs if pair.pair_id not in by_id]
    if missing:
        raise ValueError(f"{who}: {len(missing)} of {len(pairs)} pairs are not judged, the first is {missing[0]!r}")
    if stray := by_id.keys() - {pair.pair_id for pair in pairs}:
        raise ValueError(f"{who}: {len(stray)} judgements are of other pairs, the first is of {min(stray)!r}")
    return [by_id[pair.pair_id] for pair in pairs]


def _placed(error: Error) -> bool:
    return error.type in TYPES and error.aspect in ASPECTS and bool(error.reference_span or error.candidate_span)


def _finite(value: float | None) -> float:
    return math.nan if value is None or not math.isfinite(value) else value
