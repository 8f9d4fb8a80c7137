"""Words of comparison lost, added and exchanged: what changes, and where nothing may."""

import functools
import random
import re

import pytest
from synth.injected import check_whole, errors

from reeval.synth.analysis import analyse
from reeval.synth.injectors import comparison

REPORTS = [
    "FINDINGS: Stable cardiomegaly. A moderate right pleural effusion has increased. Lungs are otherwise clear.\n\n"
    "IMPRESSION:\n1. Increased moderate right pleural effusion.\n2. Stable cardiomegaly.",
    "FINDINGS: THE HEART SIZE IS STABLE AND NORMAL. THERE IS A NEW RIGHT LOWER LOBE CONSOLIDATION.\n\n"
    "IMPRESSION: NEW RIGHT LOWER LOBE CONSOLIDATION.",
    "- Small left apical pneumothorax, decreased from prior.\n- Unchanged calcified granuloma.\n- Normal heart size.",
    "Heart: Mildly enlarged heart, unchanged. Bones: Degenerative changes of the spine. Stable chest.",
    "FINDINGS: Left lower lobe pneumonia. Heart size is normal. Scoliosis.\n\nIMPRESSION: Left lower lobe pneumonia.",
]
made = functools.partial(errors, comparison)


@pytest.mark.parametrize("text", REPORTS)
def test_candidates_are_whole_and_their_spans_stand(text):
    check_whole(comparison, text)


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("Stable cardiomegaly. No edema.", "omission.stable", "Cardiomegaly. No edema."),
        ("An unchanged granuloma is seen.", "omission.stable", "A granuloma is seen."),
        ("The granuloma is unchanged from prior.", "omission.stable", "The granuloma is present."),
        ("Heart size is stable and normal.", "omission.stable", "Heart size is normal."),
        ("Heart size is normal, unchanged.", "omission.stable", "Heart size is normal."),
        ("Clear lungs. Stable chest.", "omission.stable", "Clear lungs."),
        ("New left pneumothorax.", "omission.change", "Left pneumothorax."),
        ("There has been interval development of effusions.", "omission.change", "There are effusions."),
        ("Improving left lower lobe pneumonia.", "omission.improvement", "Left lower lobe pneumonia."),
    ],
)
def test_what_is_lost(text, rule, expected):
    assert expected in made(text, rule)


def test_every_mention_loses_it():
    (candidate,) = made(REPORTS[0], "omission.change")
    assert candidate == (
        "FINDINGS: Stable cardiomegaly. A moderate right pleural effusion is present. Lungs are otherwise clear.\n\n"
        "IMPRESSION:\n1. Moderate right pleural effusion.\n2. Stable cardiomegaly."
    )


def test_actionable_findings_become_new_or_worse_and_idle_ones_stable():
    assert "New left pneumothorax." in made("Left pneumothorax.", "fabrication.change")
    assert "A new 8 mm nodule is seen." in made("An 8 mm nodule is seen.", "fabrication.change")
    assert "Improving pulmonary edema." in made("Pulmonary edema.", "fabrication.improvement")
    assert "Stable 5 mm granuloma." in made("5 mm granuloma.", "fabrication.stable")
    assert "Stable scoliosis." in made("Scoliosis.", "fabrication.stable")
    assert "Heart size is stable and normal." in made("Heart size is normal.", "fabrication.stable")
    assert not made("Scoliosis.", "fabrication.change")
    assert not made("Left pneumothorax.", "fabrication.stable")


@pytest.mark.parametrize(
    "text",
    [
        "Old rib fracture.",  # age, not change
        "Tiny left pleural effusion.",
        "Calcified nodule.",
        "Bone density is decreased.",
        "No pneumothorax.",
        "Left pneumothorax. No change.",
        "Left pneumothorax. No prior study is available.",
        "XXXX left pneumothorax.",
        "Streaky opacity.",
        "There does not appear to be an empyema.",
        "Nodular densities consistent with granulomatous disease.",
    ],
)
def test_no_change_is_added_where_it_would_not_matter_or_not_agree(text):
    assert not made(text, "fabrication.change") and not made(text, "fabrication.improvement")


def test_the_direction_is_turned_in_every_mention():
    text = "FINDINGS: The pleural effusion is unchanged.\n\nIMPRESSION: Stable pleural effusion."
    found = made(text, "inaccuracy.direction")
    assert "FINDINGS: The pleural effusion has increased.\n\nIMPRESSION: Worsening pleural effusion." in found
    assert all("unchanged" not in candidate and "Stable" not in candidate for candidate in found)
    assert not made("Stable granuloma.", "inaccuracy.direction")


def test_a_shade_keeps_the_direction():
    found = made("Stable cardiomegaly.", "inaccuracy.shade")
    assert set(found) == {
        "Grossly stable cardiomegaly.", "Essentially unchanged cardiomegaly.", "Relatively unchanged cardiomegaly.",
    }  # fmt: skip


def test_stable_is_not_lost_where_it_spares_a_work_up():
    assert not made("Stable left pneumothorax.", "omission") and not made("Stable 8 mm nodule.", "omission")


def test_a_word_that_describes_is_no_comparison():
    assert not made("Increased interstitial markings.", "omission")
    assert made("Interval increase in pleural effusion.", "omission.change")


def test_without_a_prior_study_nothing_is_called_stable():
    assert not made("No comparison is available. Heart size is normal. Scoliosis.", "fabrication")
    assert made("Heart size is normal. Scoliosis.", "fabrication.stable")


def test_spans_end_with_a_word():
    text = "Normal cardiomediastinal silhouette. Scoliosis."
    spans = {(e.reference_span, e.candidate_span) for e in made(text, "fabrication.stable").values()}
    assert ("Normal cardiomediastinal", "Stable normal cardiomediastinal") in spans


def test_a_changed_finding_and_an_unchanged_study_do_not_go_together():
    analysis = analyse("Cardiomegaly. Scoliosis.")
    edits = list(comparison.edits(analysis, random.Random(0)))
    change = [edit for edit in edits if edit.severity == "significant"]
    assert change and all("comparison" in edit.topics for edit in change)
    assert not made("Cardiomegaly. Stable chest.", "fabrication.change")


def test_overlapping_structures_do_not_change():
    text = "Density at the left base, a combination of vascular and osseous structures. Scoliosis."
    assert not made(text, "fabrication.improvement") and not made(text, "fabrication.change")


def test_what_is_calcified_becomes_neither_new_nor_worse():
    text = "Heart is normal. Right hilar adenopathy. Mass in the left upper lobe."
    assert {"adenopathy", "mass"} <= {
        w.lower() for e in made(text, "fabrication").values() for w in e.candidate_span.split()
    }
    old = "Heart is normal. Right calcified hilar adenopathy. Mass in the left upper lobe, a granuloma."
    assert not any(re.search("calcif|This|granuloma|mass", e.candidate_span) for e in made(old, "fabrication").values())
