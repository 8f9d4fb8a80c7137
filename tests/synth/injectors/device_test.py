"""Tips, devices and their kinds lost, added and exchanged: what changes, and where nothing may."""

import functools
import re

import pytest
from synth.injected import check_whole, errors

from reeval.synth.injectors import device

REPORTS = [
    "FINDINGS: Endotracheal tube tip is 4 cm above the carina. Right PICC with tip in the mid SVC. Clear lungs.\n\n"
    "IMPRESSION:\n1. Right PICC tip in the mid SVC.\n2. No pneumothorax.",
    "NASOGASTRIC TUBE TIP IS IN THE STOMACH. PACEMAKER LEADS IN THE RIGHT ATRIUM AND RIGHT VENTRICLE. LUNGS ARE CLEAR.",
    "- Left chest tube is in place.\n- Median sternotomy wires are intact.\n- Lungs are clear.",
    "FINDINGS: Heart size is normal. Lungs are clear.\n\nIMPRESSION: No acute disease.",
]
made = functools.partial(errors, device)


@pytest.mark.parametrize("text", REPORTS)
def test_candidates_are_whole_and_their_spans_stand(text):
    check_whole(device, text)


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("Right PICC tip in the mid SVC.", "inaccuracy.placement", "Right PICC tip in the azygos vein."),
        ("Left port tip at cavoatrial junction.", "inaccuracy.placement", "Left port tip in azygos vein."),
        ("Left PICC with tip in the azygos vein.", "inaccuracy.placement", "Left PICC with tip in the lower SVC."),
        ("ETT tip is 4 cm above the carina.", "inaccuracy.placement", "ETT tip is in the right main bronchus."),
        ("ETT tip is in the right mainstem bronchus.", "inaccuracy.placement", "ETT tip is in the mid trachea."),
        ("Enteric tube tip in the stomach.", "inaccuracy.placement", "Enteric tube tip in the distal esophagus."),
        ("Chest tube in satisfactory position.", "inaccuracy.placement", "Chest tube malpositioned."),
        ("Right PICC tip in the lower SVC.", "inaccuracy.same-care", "Right PICC tip in the cavoatrial junction."),
        ("NG tube is noted.", "inaccuracy.same-care", "OG tube is noted."),
        ("Surgical clips are seen.", "inaccuracy.same-care", "Surgical staples are seen."),
        ("A left chest tube is seen.", "inaccuracy.purpose", "A left feeding tube is seen."),
        ("Right PICC with tip in the mid SVC.", "omission.inert", "Right PICC."),
        ("The right PICC tip is in the mid SVC.", "omission.inert", "The right PICC is present."),
        ("Clear lungs. Sternal wires are intact.", "omission.inert", "Clear lungs."),
        ("Left PICC with tip in the azygos vein.", "omission.misplaced", "Left PICC."),
        ("Clear lungs. Malpositioned left PICC.", "omission.misplaced", "Clear lungs."),
        (
            "Lungs are clear.",
            "fabrication.misplaced",
            "Lungs are clear. An endotracheal tube terminates at the carina.",
        ),
        ("Lungs are clear.", "fabrication.inert", "Lungs are clear. Cholecystectomy clips are present."),
    ],
)
def test_what_changes(text, rule, expected):
    assert expected in made(text, rule)


def test_a_tip_moves_in_every_mention():
    found = made(REPORTS[0], "inaccuracy.placement")
    moved = [candidate for candidate in found if "mid SVC" not in candidate]
    assert moved and all("mid SVC" in c for c in found if c not in moved)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Right PICC tip in the right atrium.", "inaccuracy.placement"),  # disputed
        ("Right PICC tip in the upper SVC.", "inaccuracy.placement"),
        ("Right PICC tip in the mid SVC, in good position.", "inaccuracy.placement"),
        ("Catheter tip may be in the azygos vein.", "inaccuracy"),
        ("ETT at the carina, recommend retraction.", "inaccuracy"),
        ("Right PICC tip XXXX in the mid SVC.", "inaccuracy.placement"),
        ("The right PICC has been removed.", "inaccuracy"),
        ("Sternal wires are fractured. Clear lungs.", "omission"),
        ("Clear lungs. Clips. Surgical clips and wires XXXX.", "omission"),
        ("Feeding tube tip below the diaphragm in the stomach.", "inaccuracy.placement"),
        ("Right subclavian catheter, tip behind the clavicle.", "inaccuracy.same-care"),  # not by the other way
        ("Left pleural drain in place. The drainage tube is as before.", "inaccuracy"),
    ],
)
def test_what_stays(text, rule):
    assert not [error for error in made(text, rule).values() if error.reference_span]


def test_no_device_is_added_that_the_report_has_or_denies():
    assert all("PICC" not in c.replace("Left PICC noted", "") for c in made("Left PICC noted.", "fabrication"))
    assert not made("No lines or tubes.", "fabrication")


def test_a_device_that_is_not_there_has_no_side_and_no_fault():
    told = {error.candidate_span for error in made(REPORTS[3], "fabrication.absent", 60).values()}
    assert len(told) > 5 and not any(re.search(r"left|right|coiled|kinked|tip|project", words) for words in told)
