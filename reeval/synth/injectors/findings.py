"""The aspect `finding`: presence or absence of an abnormality or an observation."""

import random
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Edit
from reeval.synth.injectors import findings_added, findings_agreeing, findings_lost, findings_renamed, findings_repeated


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All edits of its rules that a report can carry, a few of each where there are many."""
    for part in (findings_lost, findings_added, findings_agreeing, findings_repeated, findings_renamed):
        yield from part.edits(analysis, rng)
