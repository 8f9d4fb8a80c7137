"""The aspect `finding`: presence or absence of an abnormality or an observation."""

import random
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Edit
from reeval.synth.injectors.findings_added import edits as added
from reeval.synth.injectors.findings_agreeing import edits as agreeing
from reeval.synth.injectors.findings_lost import edits as lost
from reeval.synth.injectors.findings_renamed import edits as renamed
from reeval.synth.injectors.findings_repeated import edits as repeated


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All edits of its rules that a report can carry, a few of each where there are many."""
    for part in (lost, added, agreeing, repeated, renamed):
        yield from part(analysis, rng)
