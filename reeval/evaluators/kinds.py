"""The kinds of evaluators: a literal table from the name that a config gives to what makes one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval.evaluators import endpoint, judge, scalar, stored
from reeval.evaluators.evaluator import Evaluator
from reeval.pairs import Pair
from reeval.settings import Field


@dataclasses.dataclass(frozen=True)
class Kind:
    """
    Attributes:
        fields: its settings beside `kind`, by name.
        defaults: of those that may be left out.
        passes: whether it has "modes", too.
        make: the evaluator of settings that have been checked, for these pairs; the path is of a directory for answers
            that other runs can use. Raises ValueError for settings that do not go together.
    """

    fields: Mapping[str, Field]
    defaults: Mapping[str, Any]
    passes: bool
    make: Callable[[Mapping[str, Any], Sequence[Pair], Path], Evaluator]


KINDS: Mapping[str, Kind] = {
    "judge": Kind(judge.FIELDS, judge.DEFAULTS, True, judge.JudgeEvaluator),
    "endpoint": Kind(endpoint.FIELDS, endpoint.DEFAULTS, True, endpoint.EndpointEvaluator),
    "stored": Kind(stored.FIELDS, stored.DEFAULTS, False, stored.StoredEvaluator),
    "scalar": Kind(scalar.FIELDS, scalar.DEFAULTS, False, scalar.ScalarEvaluator),
}
