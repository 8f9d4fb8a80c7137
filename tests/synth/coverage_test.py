"""Every cell of the 12 aspects x 3 types is made, in each severity that the taxonomy gives it a rule for."""

import random
from collections import Counter

import pytest
from synth.injected import alone

from reeval import taxonomy
from reeval.synth import check, generator
from reeval.synth.analysis import analyse
from reeval.synth.edit import Edit
from reeval.synth.injectors import INJECTORS

# For what the generator's reports give no occasion to, or hardly any.
OCCASIONS = (
    "FINDINGS: There is a calcified granuloma in the upper lobe. No effusion.\n\nIMPRESSION: Calcified granuloma.",
    "FINDINGS: There is an opacity in the right lower lobe which may represent pneumonia. The heart is normal.",
    "FINDINGS: Scarring is present at the apex. Calcified granuloma. Heart size is normal.",
    "FINDINGS: Minimal atelectasis at the base. No pneumothorax. The heart is normal in size.",
)


def edits_of(text: str, seed: int) -> list[Edit]:
    analysis = analyse(text)
    return [edit for injector in INJECTORS for edit in injector(analysis, random.Random(seed))]


@pytest.fixture(scope="module")
def made() -> Counter[str]:
    texts = [report.text for split in generator.SPLITS for report in generator.reports(split, 700, 1)]
    return Counter(edit.rule for n, text in enumerate([*OCCASIONS, *texts]) for edit in edits_of(text, n))


@pytest.mark.parametrize("rule", taxonomy.RULES)
def test_each_rule_is_made_or_says_why_not(made, rule):
    assert bool(made[rule]) != bool(taxonomy.RULES[rule][1].unsafe)


@pytest.mark.parametrize("cell", taxonomy.CELLS.values(), ids=lambda cell: f"{cell.aspect}-{cell.type}")
def test_each_cell_is_made_in_both_severities(made, cell):
    rules = {rule.severity for rule in cell.rules if made[f"{cell.aspect}.{cell.type}.{rule.id}"]}
    assert rules == set(taxonomy.SEVERITIES)


def test_an_edit_changes_what_it_says_and_leaves_a_text_that_does_not_contradict_itself():
    contradicting = total = 0
    for number, report in enumerate(generator.reports("pretrain", 150, 4)):
        before = analyse(report.text)
        for edit in edits_of(report.text, number):
            candidate = alone(before, edit)
            total += 1
            if edit.rule != "wording.fabrication.contradiction":
                new = check.contradictions(analyse(candidate.text)) - check.contradictions(before)
                contradicting += bool(new)
    assert total > 3000 and contradicting < 0.02 * total
