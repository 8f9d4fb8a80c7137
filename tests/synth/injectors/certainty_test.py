"""Hedges lost, added and exchanged: what changes, and where nothing may."""

import functools

import pytest
from synth.injected import check_whole, errors

from reeval.synth.injectors import certainty

REPORTS = [
    "FINDINGS: Patchy opacity in the left base, which may represent pneumonia. Possible rib fracture.\n\n"
    "IMPRESSION:\n1. Left basilar opacity.\n2. Possible rib fracture.",
    "THERE IS A SMALL RIGHT PNEUMOTHORAX. PROBABLE ATELECTASIS. HYPERINFLATED LUNGS SUGGESTIVE OF EMPHYSEMA.",
    "- There may be a small right pneumothorax.\n- Granuloma in the left upper lobe.\n- No pleural effusion.",
    "Lungs: Left upper lobe pneumonia. Bones: Degenerative changes. No pneumothorax or pleural effusion.",
    "A rib fracture cannot be excluded. Opacities consistent with scarring.",
]
made = functools.partial(errors, certainty)


@pytest.mark.parametrize("text", REPORTS)
def test_candidates_are_whole_and_their_spans_stand(text):
    check_whole(certainty, text)


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("Possible left rib fracture.", "omission.treated", "Left rib fracture."),
        ("There is a possible mass.", "omission.treated", "There is a mass."),
        ("This may represent pneumonia.", "omission.treated", "This represents pneumonia."),
        ("There may be a small pneumothorax.", "omission.treated", "There is a small pneumothorax."),
        ("A pneumothorax cannot be excluded.", "omission.treated", "A pneumothorax is present."),
        ("Cannot exclude a pneumothorax.", "omission.treated", "There is a pneumothorax."),
        ("Probable atelectasis.", "omission.probable", "Atelectasis."),
        ("Probable left lower lobe pneumonia.", "omission.probable", "Left lower lobe pneumonia."),
        ("No definite pleural effusion.", "omission.probable", "No pleural effusion."),
        ("Right pneumothorax.", "fabrication.doubtful", "Possible right pneumothorax."),
        ("There is an empyema.", "fabrication.doubtful", "There may be an empyema."),
        ("No pneumothorax or pleural effusion.", "fabrication.doubtful",
         "No pleural effusion. A pneumothorax cannot be excluded."),
        ("Granuloma.", "fabrication.probable", "Probable granuloma."),
        ("No evidence of pneumothorax.", "fabrication.probable", "No definite evidence of pneumothorax."),
        ("Opacity concerning for pneumonia.", "inaccuracy.reversed", "Opacity unlikely to represent pneumonia."),
        ("Opacity concerning for pneumonia.", "inaccuracy.near", "Opacity suspicious for pneumonia."),
        ("Probable granuloma.", "inaccuracy.near", "Possible granuloma."),
        ("Opacities may represent scarring.", "inaccuracy.near", "Opacities likely represent scarring."),
    ],
)  # fmt: skip
def test_what_changes(text, rule, expected):
    assert expected in made(text, rule)


def test_every_mention_changes():
    (candidate,) = made(REPORTS[0].replace(", which may represent pneumonia", ""), "omission.treated")
    assert candidate.count("ossible") == 0 and candidate.count("ib fracture") == 2


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Opacity may represent atelectasis or pneumonia.", "omission"),  # the other reading keeps the doubt
        ("Opacity may represent pneumonia. Pneumonia is most likely.", "omission"),
        ("Opacity may represent pneumonia, aspiration.", "omission"),
        ("There does not appear to be an empyema.", "fabrication"),
        ("Probable rib fracture.", "omission"),
        ("Opacity, XXXX represents pneumonia.", ""),
        ("Possible atelectasis and pneumonia.", ""),
        ("Tiny right pneumothorax.", "fabrication.doubtful"),
        ("Old rib fracture.", "fabrication.doubtful"),
        ("Granuloma.", "fabrication.doubtful"),
        ("No pneumothorax. No acute cardiopulmonary abnormality.", "fabrication.doubtful"),
        ("No pneumothorax. The lungs are clear without pneumothorax.", "fabrication"),
        ("No large pneumothorax.", "fabrication"),
        ("If pneumonia is suspected, CT.", ""),
    ],
)
def test_what_stays(text, rule):
    assert not made(text, rule)


def test_what_the_film_shows_plainly_is_not_hedged():
    for text in ("Tortuous aorta. Normal heart.", "Aortic calcifications are noted. Normal heart."):
        assert not made(text, "fabrication.probable")


def test_what_is_seen_is_suspected():
    found = made("Osteophytes are noted. Normal heart.", "fabrication.probable")
    assert found and all("suspected" in text or "may be" in text for text in found)
