"""Sides of findings: flipped, halved, doubled, lost and added, in every mention, and nowhere that is not sure."""

import pytest
from synth.injected import candidates, spans, texts

from reeval.synth.injectors import laterality

WRONG, UNTREATED = "laterality.inaccuracy.wrong-side", "laterality.inaccuracy.untreated"
ONE, TREATED = "laterality.inaccuracy.one-for-both", "laterality.omission.treated"
LOST, CONFINED, DETAIL = (
    "laterality.omission.untreated", "laterality.fabrication.confined", "laterality.fabrication.detail",
)  # fmt: skip


def test_a_side_is_flipped_in_findings_and_impression_under_every_name():
    text = (
        "FINDINGS: There is patchy opacity in the right lower lobe. Heart size is normal.\n\n"
        "IMPRESSION: Right lower lobe pneumonia."
    )
    assert texts(laterality, text, WRONG) == {
        "FINDINGS: There is patchy opacity in the left lower lobe. Heart size is normal.\n\n"
        "IMPRESSION: Left lower lobe pneumonia."
    }
    assert spans(laterality, text, WRONG) == {
        ("opacity in the right lower lobe", "opacity in the left lower lobe"),
    }


def test_the_side_of_a_line_matters_and_the_heart_keeps_its_own():
    text = "FINDINGS: Right internal jugular catheter tip in the right atrium. Clear lungs."
    assert texts(laterality, text, WRONG) == {
        "FINDINGS: Left internal jugular catheter tip in the right atrium. Clear lungs."
    }
    assert texts(laterality, text, LOST) == {
        "FINDINGS: Internal jugular catheter tip in the right atrium. Clear lungs."
    }


def test_capitals_stay():
    assert texts(laterality, "FINDINGS: SMALL RIGHT PNEUMOTHORAX. HEART IS NORMAL.", WRONG) == {
        "FINDINGS: SMALL LEFT PNEUMOTHORAX. HEART IS NORMAL."
    }


def test_a_benign_findings_side_is_insignificant():
    text = "FINDINGS: Minimal left basilar atelectasis. Normal heart."
    assert texts(laterality, text, UNTREATED) == {
        "FINDINGS: Minimal right basilar atelectasis. Normal heart.",
        "FINDINGS: Minimal bibasilar atelectasis. Normal heart.",
    }
    assert texts(laterality, text, LOST) == {"FINDINGS: Minimal basilar atelectasis. Normal heart."}


def test_one_for_both_and_both_for_one_agree_in_number():
    assert texts(laterality, "FINDINGS: There is a large right pleural effusion. Heart is normal.", ONE) == {
        "FINDINGS: There are large bilateral pleural effusions. Heart is normal."
    }
    assert texts(laterality, "FINDINGS: There are large bilateral pleural effusions. Heart is normal.", ONE) == {
        "FINDINGS: There is a large right pleural effusion. Heart is normal.",
        "FINDINGS: There is a large left pleural effusion. Heart is normal.",
    }


def test_a_side_is_lost_with_its_preposition():
    text = "FINDINGS: There is a pneumothorax on the left. Heart is normal."
    assert texts(laterality, text, TREATED) == {"FINDINGS: There is a pneumothorax. Heart is normal."}
    assert texts(laterality, "FINDINGS: Left upper lobe mass. Heart is normal.", TREATED) == {
        "FINDINGS: Upper lobe mass. Heart is normal."
    }


def test_a_side_is_added_where_nothing_tells_another():
    assert texts(laterality, "FINDINGS: There is a pneumothorax. Heart is normal.", CONFINED, seeds=40) >= {
        "FINDINGS: There is a left pneumothorax. Heart is normal.",
        "FINDINGS: There is a pneumothorax on the right. Heart is normal.",
    }
    assert "FINDINGS: Left calcified granuloma is seen." in texts(
        laterality, "FINDINGS: Calcified granuloma is seen.", DETAIL, seeds=40
    )


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: Bilateral pneumothoraces, right greater than left.",
        "FINDINGS: Right middle lobe pneumonia.",  # no middle lobe on the left
        "FINDINGS: Lingular opacity on the left, pneumonia.",
        "FINDINGS: Right pneumothorax. No left pneumothorax.",
        "FINDINGS: Right pneumothorax. The left lung is clear.",
        "FINDINGS: Large right pleural effusion. The right costophrenic angle is obscured.",
        "FINDINGS: Right XXXX pneumonia.",
        "FINDINGS: Left lower lobe mass. Right lower lobe mass.",
        "FINDINGS: No right pneumothorax.",
        "FINDINGS: Right ventricular enlargement and aortic tortuosity.",
        "FINDINGS: Right pneumothorax with collapse of the right lung.",
    ],
)
def test_no_side_is_flipped_where_it_could_be_at_odds_with_the_rest(text):
    assert not {WRONG, UNTREATED, ONE} & set(candidates(laterality, text))


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: There is a pneumothorax. Right chest tube is in place.",
        "FINDINGS: Possible pneumothorax.",
        "FINDINGS: Airspace disease in both lungs.",
        "FINDINGS: No pneumothorax.",
        "FINDINGS: Atelectasis at the lung bases.",
    ],
)
def test_no_side_is_added_where_another_may_be_known(text):
    assert not {CONFINED, DETAIL} & set(candidates(laterality, text))


def test_the_loss_of_a_side_that_only_some_treat_is_left_open():
    assert not {TREATED, LOST} & set(candidates(laterality, "FINDINGS: Right lower lobe pneumonia."))


def test_a_base_without_its_side_is_basilar():
    assert texts(laterality, "FINDINGS: Left base atelectasis. Normal heart.", LOST) == {
        "FINDINGS: Basilar atelectasis. Normal heart."
    }


def test_what_lies_beside_something_else_has_its_side():
    assert not texts(laterality, "FINDINGS: There is adjacent compressive atelectasis. Normal heart.", DETAIL)


def test_a_diaphragm_that_is_told_of_twice_keeps_its_side():
    text = "FINDINGS: There is elevation of the right hemidiaphragm. Eventration of the right hemidiaphragm."
    assert not texts(laterality, text, UNTREATED)
    assert texts(laterality, "FINDINGS: Normal heart. Eventration of the right hemidiaphragm.", UNTREATED)
