"""What the set has had so far decides what it gets next, and nothing else does."""

import random
from collections import Counter

import pytest

from reeval.pairs import Error, Pair
from reeval.synth import check, compose, generator
from reeval.synth.analysis import analyse
from reeval.synth.balance import Balance, changed_words, difference
from reeval.synth.compose import Mixture

GRAVE = Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant")
HARMLESS = Error("inaccuracy", "laterality", "right scar", "left scar", "insignificant")


def pair(error, words="left"):
    return Pair("p", "r", "Right effusion. Right scar.", f"Right effusion. Right scar. {words}.", (error,))


def test_words_lost_and_added_are_counted_by_how_often():
    made = difference("No effusion. No edema.", "No effusion, small edema.")
    assert made["-no"] == pytest.approx(0.693, abs=1e-3) and made["+small"] > 0 and "+no" not in made
    assert set(changed_words("a b", "b c")) == {"-a", "+c"}


def test_words_that_went_with_a_label_are_expected_of_it():
    balance = Balance()
    for _ in range(30):
        balance.add(pair(GRAVE, "thoracentesis"))
        balance.add(pair(HARMLESS, "granuloma"))
    told, plain = pair(GRAVE, "thoracentesis"), pair(GRAVE, "granuloma")
    assert balance.expected(told) > 2 > 0 > balance.expected(plain)
    assert balance.leans(changed_words("", "thoracentesis"), True) > 2
    assert balance.leans(changed_words("", "thoracentesis"), False) < -2
    assert abs(balance.leans(changed_words("", "unheard"), True)) < 0.1


def test_a_cell_that_had_more_of_a_severity_waits():
    balance = Balance()
    for _ in range(10):
        balance.add(pair(GRAVE))
    grave, harmless = (balance.excess("laterality", "inaccuracy", s) for s in ("significant", "insignificant"))
    assert grave > balance.excess("degree", "inaccuracy", "significant") > harmless


def test_labels_are_drawn_back_to_their_share():
    balance, mixture = Balance(), Mixture(significant=0.3)
    assert compose.chance_of_significance(balance, mixture) == 0.3
    for _ in range(10):
        balance.add(pair(GRAVE))
    assert compose.chance_of_significance(balance, mixture) < 0.01
    assert compose.chance_of_significance(balance, Mixture(significant=1.0)) == 1.0


@pytest.mark.parametrize("significant", [0.0, 1.0])
def test_all_of_one_label(significant):
    mixture, balance, made = Mixture(significant=significant, drafts=1), Balance(), []
    for report in generator.reports("train", 40, 2):
        material = compose.material(report.text.strip(), random.Random(report.reference_id))
        rng = random.Random(report.reference_id)
        chance = compose.chance_of_significance(balance, mixture)
        made.append(compose.candidate("p", "r", material, chance, rng, balance, mixture, Counter()))
    labels = {pair.significant for pair in made if pair is not None}
    assert labels == {bool(significant)} and sum(pair is not None for pair in made) > 30


def test_a_text_of_which_nothing_is_known_is_left_alone():
    material = compose.material("The quick brown fox jumps over the dog. It was not seen.", random.Random(0))
    assert not material.edits and not material.variations


CLEAN = "FINDINGS: Small left effusion. The lungs are clear.\n\nIMPRESSION: Small left effusion."


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (CLEAN, []),
        (CLEAN.replace("IMPRESSION: Small left", "IMPRESSION: Small right"), ["contradiction"]),
        (CLEAN.replace("IMPRESSION: Small left", "IMPRESSION: No"), ["contradiction"]),
        (CLEAN.replace("The lungs are clear", "The lungs are clear. Large left lung mass"), ["contradiction"]),
        (CLEAN.replace("lungs are", "lungs are otherwise").replace("Small left effusion. The", "Nodule. The"), []),
        (CLEAN.replace("left effusion.", "left  effusion."), ["form: spaces"]),
        (CLEAN.replace("clear.", "clear.."), ["form: stops"]),
        (CLEAN.replace("Small left effusion. The", "A effusion. The"), ["form: article"]),
        (CLEAN.replace("The lungs are clear", "The lungs are are clear"), ["form: twice"]),
        (CLEAN.replace(". The lungs", ". the lungs"), ["form: small"]),
        (CLEAN.replace("The lungs are clear", "The lungs are {clear}"), ["form: braces"]),
    ],
)  # fmt: skip
def test_faults_that_the_reference_does_not_have(candidate, expected):
    made = Pair("p", "r", CLEAN, candidate, (), {"rules": []})
    assert sorted(set(check.faults(made, analyse(CLEAN)))) == expected
    assert check.faults(Pair("p", "r", candidate, candidate, (), {"rules": []}), analyse(candidate)) == []


@pytest.mark.parametrize(
    "error",
    [
        Error("inaccuracy", "degree", "Small", "Large", "significant"),
        Error("omission", "degree", "", "", "significant"),
        Error("inaccuracy", "degree", "Small", "Small", "significant"),
        Error("fabrication", "degree", "", "", "significant"),
    ],
)
def test_spans_that_do_not_stand(error):
    made = Pair("p", "r", CLEAN, CLEAN, (error,), {"rules": ["degree.inaccuracy.urgency"]})
    assert "span" in check.faults(made, analyse(CLEAN))
