"""Sizes against the thresholds, their units, and the distance of a tube from the carina."""

import re

import pytest
from synth.injected import candidates, texts

from reeval.synth.injectors import measurement

NODULE, MASS, UNIT, WITHIN = (
    f"measurement.inaccuracy.{rule}" for rule in ("nodule", "mass", "unit", "within-limits")
)  # fmt: skip
FOLLOW_UP, NO_ACTION = "measurement.omission.follow-up", "measurement.omission.no-action"
THRESHOLD, BELOW = "measurement.fabrication.threshold", "measurement.fabrication.below"


def sizes(rule, text):
    """The sizes of a rule's candidates in mm, all of one candidate being the same."""
    found = set()
    for made in texts(measurement, text, rule, seeds=40):
        told = {round(float(n) * (10 if unit == "cm" else 1), 2) for n, unit in re.findall(r"([\d.]+) (mm|cm)", made)}
        assert len(told) == 1, made
        found |= told
    return found


@pytest.mark.parametrize("mm", [3, 4, 5, 7, 8, 9, 12, 15, 18, 25])
def test_nodules_against_the_limits(mm):
    text = f"FINDINGS: A {mm} mm nodule is seen in the left lung.\n\nIMPRESSION: {mm} mm nodule, follow-up advised."
    far, near = sizes(NODULE, text), sizes(WITHIN, text)
    assert far and all(abs(new - mm) > (2 if mm < 6 else 4) + 1 for new in far)
    assert near and all(0 < abs(new - mm) <= 2 for new in near)
    assert all((mm < 6) == (new < 6) and (mm <= 8) == (new <= 8) and new < 30 for new in near)


@pytest.mark.parametrize("cm", [3.6, 4.5, 6.0])
def test_masses_against_the_limits(cm):
    text = f"FINDINGS: A {cm} cm mass is seen in the left lung."
    assert all(abs(new / 10 - cm) > 0.25 * cm for new in sizes(MASS, text)) and sizes(MASS, text)
    assert all(abs(new / 10 - cm) <= 0.1 * cm and new > 31 for new in sizes(WITHIN, text)) and sizes(WITHIN, text)


def test_a_nodule_that_crosses_three_centimetres():
    assert all(new > 33 for new in sizes(MASS, "FINDINGS: A 2.4 cm nodule is seen in the left lung."))


def test_the_article_before_a_number():
    made = texts(measurement, "FINDINGS: There is an 8 mm nodule in the left lung.", WITHIN)
    assert made == {"FINDINGS: There is a 7 mm nodule in the left lung."}


def test_units_are_exchanged_in_all_dimensions():
    assert texts(measurement, "FINDINGS: Mass in the left lung measuring 2.2 x 1.6 cm.", UNIT) == {
        "FINDINGS: Mass in the left lung measuring 2.2 x 1.6 mm."
    }
    assert texts(measurement, "FINDINGS: Mass in the left lung measuring 2.2 cm x 1.6 cm.", UNIT) == {
        "FINDINGS: Mass in the left lung measuring 2.2 mm x 1.6 mm."
    }


def test_a_size_is_lost_with_what_leads_to_it():
    for text, made in (
        ("An 8 mm nodule is seen.", "A nodule is seen."),
        ("Nodule in the left apex, measuring approximately 8 mm in diameter.", "Nodule in the left apex."),
        ("A nodule is seen. It measures 8 mm. Heart is normal.", "A nodule is seen. Heart is normal."),
    ):
        assert texts(measurement, f"FINDINGS: {text}", FOLLOW_UP) == {f"FINDINGS: {made}"}
    assert texts(measurement, "FINDINGS: 4 mm calcified granuloma in the left apex.", NO_ACTION) == {
        "FINDINGS: Calcified granuloma in the left apex."
    }


def test_sizes_are_added():
    made = texts(measurement, "FINDINGS: There is a nodule in the left lung. Heart is normal.", THRESHOLD, seeds=40)
    assert "FINDINGS: There is a 12 mm nodule in the left lung. Heart is normal." in made
    assert "FINDINGS: There is an 11 mm nodule in the left lung. Heart is normal." in made
    made = texts(measurement, "FINDINGS: Calcified granuloma in the left apex.", BELOW, seeds=40)
    assert "FINDINGS: 4 mm calcified granuloma in the left apex." in made


def test_the_distance_from_the_carina():
    text = "FINDINGS: Endotracheal tube tip is approximately 4 cm above the carina. Lungs are clear."
    assert texts(measurement, text, NO_ACTION) == {
        "FINDINGS: Endotracheal tube tip is above the carina. Lungs are clear."
    }
    assert texts(measurement, text, UNIT) == {text.replace("cm", "mm")}
    assert texts(measurement, text, WITHIN) == {text.replace("4 cm", "3.5 cm"), text.replace("4 cm", "4.5 cm")}


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: Several nodules, the largest measuring 8 mm.",
        "FINDINGS: 8 mm nodule in the left lung, previously 6 mm.",
        "FINDINGS: 8 mm nodule in the left lung.\n\nIMPRESSION: 10 mm nodule in the left lung.",
        "FINDINGS: XXXX 8 mm nodule in the left lung.",
        "FINDINGS: No nodule above 8 mm.",
    ],
)
def test_no_size_is_changed_that_may_be_anothers(text):
    assert not candidates(measurement, text)


def test_a_nodule_that_may_be_nothing_has_no_threshold():
    made = candidates(measurement, "FINDINGS: 8 mm nodular opacity, likely a nipple shadow.")
    assert not {NODULE, FOLLOW_UP} & set(made)


def test_no_number_stands_right_behind_that_of_a_list():
    made = candidates(measurement, "IMPRESSION:\n1. Left upper lobe nodule, follow-up advised.\n2. Normal heart.")
    assert not {THRESHOLD, BELOW} & set(made)
