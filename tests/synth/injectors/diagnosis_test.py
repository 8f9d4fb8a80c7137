"""Readings of findings lost, added and exchanged: what changes, and where nothing may."""

import functools

import pytest
from synth.injected import check_whole, errors

from reeval.synth.analysis import analyse
from reeval.synth.injectors import diagnosis
from reeval.synth.injectors.links import links

REPORTS = [
    "FINDINGS: Right basilar opacity, which is concerning for pneumonia. Calcified granuloma in the left lung.\n\n"
    "IMPRESSION:\n1. Right basilar opacity, concerning for pneumonia.\n2. Calcified granuloma.",
    "THE LUNGS ARE HYPERINFLATED, CONSISTENT WITH COPD. SMALL LEFT PLEURAL EFFUSION.",
    "- Streaky opacities may represent atelectasis or scarring.\n- Aortic calcification.",
    "Lungs: Nodule in the left base. Heart: Cardiomegaly. This may represent heart failure.",
]
made = functools.partial(errors, diagnosis)


@pytest.mark.parametrize("text", REPORTS)
def test_candidates_are_whole_and_their_spans_stand(text):
    check_whole(diagnosis, text)


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("Left opacity, likely pneumonia.", "omission.decides", "Left opacity."),
        ("Opacities which may represent pneumonia.", "omission.decides", "Opacities."),
        ("The opacities may represent pneumonia.", "omission.decides", "The opacities are noted."),
        ("Left opacity. This may represent pneumonia.", "omission.decides", "Left opacity."),
        ("Opacity may represent atelectasis or pneumonia.", "omission.decides", "Opacity may represent atelectasis."),
        ("Hyperinflated lungs, consistent with COPD.", "omission.implied", "Hyperinflated lungs."),
        ("Streaky opacity, likely atelectasis.", "omission.implied", "Streaky opacity."),
        ("Left effusion.", "fabrication.work-up", "Left effusion, likely due to malignancy."),
        ("Cardiomegaly is present.", "fabrication.work-up",
         "Cardiomegaly is present. This is consistent with congestive heart failure."),
        ("Calcified granuloma.", "fabrication.usual", "Calcified granuloma, likely related to prior histoplasmosis."),
        ("Hyperinflation.", "fabrication.usual", "Hyperinflation, compatible with COPD."),
        ("Opacity suspicious for a pneumonia.", "inaccuracy.managed-differently",
         "Opacity suspicious for pulmonary edema."),
        ("Opacity may be due to edema.", "inaccuracy.managed-differently", "Opacity may be due to pneumonia."),
        ("Hyperinflation suggesting emphysema.", "inaccuracy.same-action", "Hyperinflation suggesting COPD."),
        ("Opacity, possibly atelectasis.", "inaccuracy.same-action", "Opacity, possibly scarring."),
    ],
)  # fmt: skip
def test_what_changes(text, rule, expected):
    assert expected in made(text, rule)


def test_every_mention_of_a_reading_changes():
    found = made(REPORTS[0], "omission.decides")
    assert list(found) == [
        "FINDINGS: Right basilar opacity. Calcified granuloma in the left lung.\n\n"
        "IMPRESSION:\n1. Right basilar opacity.\n2. Calcified granuloma."
    ]
    assert all("pneumonia" not in candidate for candidate in made(REPORTS[0], "inaccuracy.managed-differently"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Opacity, likely pneumonia. Left lower lobe pneumonia.", "omission"),  # the second stands by itself
        ("Opacity, likely pneumonia. Left lower lobe pneumonia.", "inaccuracy"),
        ("Nodule suggests granulomatous disease.", "omission"),  # without it the nodule would be followed
        ("Opacity, likely atelectasis.", "omission"),  # without it the opacity could be anything
        ("Streaky airspace disease, likely atelectasis.", "omission"),
        ("No opacity to suggest pneumonia.", ""),
        ("Opacity, XXXX pneumonia.", ""),
        ("Opacity, likely pneumonia. No malignancy, edema, atelectasis or scarring.", "inaccuracy.managed-differently"),
        ("Cardiomegaly. No acute cardiopulmonary abnormality.", "fabrication.work-up"),
        ("Calcified nodule.", "fabrication.work-up"),
        ("Stable appearing scarring.", "fabrication.work-up"),
        ("Opacity without evidence of malignancy or tuberculosis.", "fabrication.work-up"),
        ("Hyperinflation. Emphysema.", "fabrication"),
    ],
)
def test_what_stays(text, rule):
    assert not made(text, rule)


def test_a_worried_word_takes_no_benign_reading():
    found = made("Opacity concerning for pneumonia.", "inaccuracy.managed-differently")
    assert set(found) == {"Opacity concerning for malignancy.", "Opacity concerning for pulmonary edema."}


def test_links_say_what_reads_what():
    (list_,) = links(analyse("Opacity, likely pneumonia or atelectasis."))
    assert [m.finding.name for m in list_.members] == ["pneumonia", "atelectasis"] and list_.form == "apposition"
    (link,) = links(analyse("Bibasilar opacities, which may represent atelectasis versus pneumonia."))
    assert (link.level, link.form, link.joints, link.plural, link.main) == ("may", "modal", ("versus",), True, False)
    assert [m.finding.name for m in link.members] == ["atelectasis", "pneumonia"]
    assert link.subject is not None and link.subject.finding.name == "opacity"
    assert not links(analyse("No opacity to suggest pneumonia.")) and not links(analyse("Likely pneumonia."))


def test_an_opacity_that_the_impression_reads_gets_no_other_reading():
    findings = "FINDINGS: Streaky basilar opacities."
    assert made(f"{findings} Heart is normal.", "fabrication")
    assert not made(f"{findings}\n\nIMPRESSION: Basilar atelectasis.", "fabrication.work-up")


def test_a_reading_exchanged_for_the_other_one_says_nothing_new():
    assert not any(
        "pneumonia" in text
        for text in made("Opacity, which may represent atelectasis or airspace disease.", "inaccuracy.managed")
    )


def test_markings_that_are_increased_are_many():
    text = "The interstitial markings are increased."
    assert not any("This " in candidate for candidate in made(text, "fabrication"))


def test_two_adjectives_are_one_finding():
    text = "Left midlung and basilar streaky opacity may represent atelectasis."
    assert set(made(text, "omission")) == {"Left midlung and basilar streaky opacity is noted."}


def test_another_reading_in_other_words_counts_too():
    text = "Retrocardiac opacity may represent minimal atelectasis or a small focus of airspace disease."
    assert not any("pneumonia" in candidate for candidate in made(text, "inaccuracy.managed"))


def test_streaks_are_read_as_no_malignancy():
    found = " ".join(made("Streaky basilar opacities. Normal heart.", "fabrication.work-up"))
    assert "pneumonia" in found and "malignancy" not in found and "carcinoma" not in found
    assert "malignancy" in " ".join(made("Rounded right upper lobe opacity. Normal heart.", "fabrication.work-up"))


def test_lungs_are_a_state():
    found = made("Low lung volumes. Normal heart.", "fabrication.usual")
    assert any("This " in text for text in found) and not any("These " in text for text in found)
