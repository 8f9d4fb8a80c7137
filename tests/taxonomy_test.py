import re

import pytest

from reeval import taxonomy


def test_twelve_aspects_by_three_types():
    assert taxonomy.ASPECTS == (
        "finding", "laterality", "location", "degree", "measurement", "count",
        "device", "comparison", "certainty", "diagnosis", "recommendation", "wording",
    )  # fmt: skip
    assert taxonomy.TYPES == ("omission", "fabrication", "inaccuracy")
    assert list(taxonomy.CELLS) == [(aspect, kind) for aspect in taxonomy.ASPECTS for kind in taxonomy.TYPES]


@pytest.mark.parametrize("cell", taxonomy.CELLS.values(), ids=lambda cell: f"{cell.aspect}-{cell.type}")
def test_every_cell_says_what_it_is_and_when_it_matters(cell):
    assert cell.definition.endswith(".")
    # Both severities in each cell: a judge must not be able to read severity off aspect and type.
    assert {rule.severity for rule in cell.rules} == set(taxonomy.SEVERITIES)
    whens = [rule.when for rule in cell.rules]
    assert all(whens) and len(set(whens)) == len(whens)
    assert len({rule.id for rule in cell.rules}) == len(cell.rules)
    assert all(rule.source in taxonomy.SOURCES for rule in cell.rules)


def test_every_source_is_used_and_can_be_found():
    used = {rule.source for cell in taxonomy.CELLS.values() for rule in cell.rules}
    assert used == set(taxonomy.SOURCES)
    for citation in taxonomy.SOURCES.values():
        found = r"arXiv \d{4}\.\d{4,5}|doi 10\.\d+/\S+|Resolution \d+|\d{4};\d+:\d+"
        assert re.search(found, citation), citation


def test_the_names_fit_the_verdict_format():
    for name in taxonomy.ASPECTS + taxonomy.TYPES + taxonomy.SEVERITIES:
        assert re.fullmatch(r"[a-z]+", name)
