"""Errors that a report can carry: each module gives, for one group of aspects, all edits that are safe in it."""

import random
from collections.abc import Callable, Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Edit
from reeval.synth.injectors import (
    certainty,
    comparison,
    count,
    degree,
    device,
    diagnosis,
    findings,
    laterality,
    location,
    measurement,
    recommendations,
    wording,
)

INJECTORS: tuple[Callable[[Analysis, random.Random], Iterator[Edit]], ...] = (
    findings.edits,
    laterality.edits,
    location.edits,
    degree.edits,
    measurement.edits,
    count.edits,
    comparison.edits,
    certainty.edits,
    diagnosis.edits,
    device.edits,
    recommendations.edits,
    wording.edits,
)
