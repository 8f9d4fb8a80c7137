"""Harmless variation: what another radiologist could have written of the same study, without any change of content."""

import random
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Variation
from reeval.synth.variation import denials, findings, layout, normals, overall, words
from reeval.synth.variation.clauses import clauses
from reeval.synth.variation.order import orders

__all__ = ["orders", "variations"]


def variations(analysis: Analysis, rng: random.Random) -> Iterator[Variation]:
    """All single variations that a report can carry, each by itself; several may concern the same words."""
    found = clauses(analysis)
    read_denials, read_normals, rest = {}, {}, []
    for clause in found:
        denial = denials.read(analysis, clause)
        statement = normals.read(clause)
        if denial:
            read_denials[clause.index] = denial
        elif statement:
            read_normals[clause.index] = statement
        else:
            rest.append(clause)
    yield from denials.variations(analysis, read_denials, rng)
    yield from normals.variations(analysis, read_normals, rng)
    for clause in rest:
        yield from overall.variations(analysis, clause, rng)
        yield from normals.parted(analysis, clause, rng)
        yield from denials.parted(analysis, clause, rng)
    yield from findings.variations(analysis, rest, rng)
    yield from words.variations(analysis, rng)
    yield from layout.variations(analysis, rng)
