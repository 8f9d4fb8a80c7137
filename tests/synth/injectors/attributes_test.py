"""What holds of every edit of an attribute, over reports put together from varied sentences."""

import itertools
import random

import pytest
from synth.injected import blemishes, candidates, sentences

from reeval.synth.document import parse
from reeval.synth.injectors import count, degree, laterality, location, measurement
from reeval.synth.injectors.rewording import article
from reeval.taxonomy import RULES

SENTENCES = [
    "There is a small right pleural effusion.",
    "Small bilateral pleural effusions are present, unchanged.",
    "A 7 mm nodule is seen in the right upper lobe.",
    "There are two calcified granulomas in the left lower lobe.",
    "Moderate cardiomegaly.",
    "The heart is mildly enlarged.",
    "Mild bibasilar atelectasis, left greater than right.",
    "Stable left apical scarring.",
    "Right lower lobe consolidation, likely pneumonia.",
    "Large left pneumothorax with a chest tube in place.",
    "Endotracheal tube tip is 4.5 cm above the carina.",
    "Left PICC tip in the lower SVC.",
    "Multiple healed right rib fractures.",
    "Degenerative changes of the thoracic spine.",
    "Stable cardiomegaly.",
    "No pneumothorax or large effusion.",
    "An ill-defined opacity is seen at the left base.",
    "Several surgical clips are noted in the right axilla.",
    "Solitary mass in the left upper lobe, measuring 4.2 x 3.1 cm.",
]
MODULES = [count, degree, laterality, location, measurement]


def reports():
    rng = random.Random(0)
    for number in range(60):
        findings = rng.sample(SENTENCES, 3)
        text = "FINDINGS: " + " ".join(findings) + "\n\nIMPRESSION: " + rng.choice(findings)
        yield text.upper() if number % 7 == 0 else text


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_edits_leave_clean_text(module):
    made = 0
    for text in reports():
        for rule, found in candidates(module, text, seeds=2).items():
            for candidate, _, _ in found:
                made += 1
                assert text.isupper() == candidate.isupper()
                assert not blemishes(text, candidate), (rule, text, candidate)
                assert 0 <= sentences(text) - sentences(candidate) <= 1, (rule, text, candidate)
                assert text.count("\n") == candidate.count("\n")
    assert made > 40


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_same_seed_makes_the_same_edits(module):
    text = "FINDINGS: " + " ".join(SENTENCES[:8])
    assert candidates(module, text) == candidates(module, text)


WORDS = {"opacity": "an", "nodule": "a", "8 mm": "an", "11 mm": "an", "1.1 cm": "a", "unilateral": "a"}


@pytest.mark.parametrize(("words", "right"), WORDS.items())
def test_articles(words, right):
    for old in ("a", "an"):
        text = f"There is {old} thing."
        changes = article(parse(text), text.index("thing"), words)
        assert [change.new for change in changes] == ([] if old == right else [right])


def test_severities_share_their_words():
    """No kind of error gives its severity away: each type has both on these sentences, in most aspects."""
    found = set()
    for module, text in itertools.product(MODULES, reports()):
        for rule in candidates(module, text, seeds=2):
            cell, entry = RULES[rule]
            found.add((cell.aspect, cell.type, entry.severity))
    both = {key[:2] for key in found if (*key[:2], "significant") in found and (*key[:2], "insignificant") in found}
    assert {("laterality", "inaccuracy"), ("location", "inaccuracy"), ("degree", "inaccuracy")} <= both
    assert {("measurement", "inaccuracy"), ("measurement", "omission"), ("degree", "fabrication")} <= both
