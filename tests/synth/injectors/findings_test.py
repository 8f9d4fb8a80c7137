"""Findings and normal statements lost, added and renamed: exactly what changes, and where nothing may."""

import random
import re

import pytest
from synth.changed import changed
from synth.injected import blemishes, each, errors

from reeval.synth import terms
from reeval.synth.analysis import analyse
from reeval.synth.injectors import findings, findings_added, findings_lost, findings_renamed, findings_repeated
from reeval.synth.injectors.listings import assertions, denials
from reeval.synth.injectors.weights import findings_table, weight_of

REPORTS = [
    "FINDINGS: The heart is normal in size. There is a moderate left pleural effusion. No pneumothorax, nodule, or"
    " consolidation.\n\nIMPRESSION: 1. Moderate left pleural effusion. 2. No other acute change.",
    "FINDINGS: Lungs are clear. Mild degenerative changes of the thoracic spine. No effusion or pneumothorax.\n\n"
    "IMPRESSION: No acute cardiopulmonary abnormality.",
    "FINDINGS:\n- Calcified granuloma in the right upper lobe.\n- No pneumothorax.\n- Heart size is normal.\n\n"
    "IMPRESSION: No acute disease.",
    "Heart size normal. Small right apical pneumothorax. Tortuous aorta and scoliosis.",
    "FINDINGS: THE LUNGS ARE CLEAR. NO PLEURAL EFFUSION. THERE IS BIBASILAR ATELECTASIS.\n\n"
    "IMPRESSION: NO ACUTE CARDIOPULMONARY PROCESS.",
    "FINDINGS: There are no effusions. There is no pneumothorax. Focal consolidation in the right lower lobe.\n\n"
    "IMPRESSION: Right lower lobe consolidation.",
    "FINDINGS: Patchy opacity in the left base. No XXXX effusion. Osseous structures are intact.\n\n"
    "IMPRESSION: Left basilar opacity. Recommend follow-up radiograph.",
]


def candidates(text, rule, module=findings, seeds=20):
    return errors(module, text, rule, seeds)


@pytest.mark.parametrize("text", REPORTS)
def test_every_edit_leaves_a_whole_report_and_spans_that_stand(text):
    for _, made in each(findings, text, seeds=6):
        assert not blemishes(text, made.text), made.text
        assert not re.search(r"[\n-] [a-z]", made.text), made.text
        assert not re.search(r"(?:,|\b(?:or|and|no))\s*(?:\.|$)", made.text, re.I), made.text
        if text.isupper():
            assert made.text.isupper()
        # Nothing else is touched: what is left of the pieces is the reference's own.
        assert "".join(text[p.start : p.end] for p in made.pieces) == text


def test_every_table_speaks_of_known_findings():
    table = findings_table()
    for name in table["renamed"]:
        assert name in terms.findings()
    concepts = {finding.concept for finding in terms.findings().values()}
    assert set(table["denied"]) <= concepts
    for entry in table["added"]:
        finding = terms.findings()[entry["finding"]]
        for text in (text for pair in entry["texts"] for text in pair):
            told = analyse(text.format(side="left", Side="Left")).mentions
            assert any(m.finding.concept == finding.concept and m.polarity == "present" for m in told), text
            if finding.weight == "degree":
                assert {weight_of(m) for m in told} == {entry["rule"]}, text
    for entry in table["normal"]:
        assert entry["finding"] in terms.findings()


def lists(text, of=denials):
    analysis = analyse(text)
    found = []
    for listing in of(analysis).values():
        for number in range(len(listing.items)):
            found.append(changed(text, listing.without(analysis.document, number) or ()))
    return found


def test_an_item_leaves_a_list_and_the_commas_and_the_verb_follow():
    assert lists("No effusion, consolidation, or pneumothorax.") == [
        "No consolidation or pneumothorax.",
        "No effusion or pneumothorax.",
        "No effusion or consolidation.",
    ]
    assert lists("No effusion or nodules are seen.") == ["No nodules are seen.", "No effusion is seen."]
    assert lists("There are no nodules or effusion.") == ["There is no effusion.", "There are no nodules."]
    assert lists("The lungs are free of edema, nodule, consolidation or mass.")[3] == (
        "The lungs are free of edema, nodule or consolidation."
    )


def test_an_item_leaves_a_list_of_findings():
    assert lists("Tortuous aorta and scoliosis.", assertions) == ["Scoliosis.", "Tortuous aorta."]
    assert lists("There is a granuloma and atelectasis.", assertions)[1] == "There is a granuloma."


def test_what_is_no_list_is_none():
    for text in (
        "No effusion, although there is a nodule.",
        "No XXXX or pneumothorax.",
        "No effusion or obvious thing or pneumothorax.",
        "No effusion and small pneumothorax.",
    ):
        assert lists(text) == [] or lists(text) == [text], text


def test_a_finding_goes_from_findings_and_impression():
    text = (
        "FINDINGS: Heart size is normal. There is a moderate left pleural effusion. No pneumothorax.\n\n"
        "IMPRESSION: Moderate left pleural effusion. Calcified granuloma."
    )
    found = candidates(text, "omission.actionable", findings_lost)
    lost = "FINDINGS: Heart size is normal. No pneumothorax.\n\nIMPRESSION: Calcified granuloma."
    assert found[lost].reference_span == "There is a moderate left pleural effusion." and not found[lost].candidate_span
    denied = [made for made in found if made != lost]
    assert denied and all(
        re.search(r"[Nn]o pleural effusion", made) and "oderate" not in made and made.endswith("Calcified granuloma.")
        for made in denied
    )


def test_an_impression_left_empty_says_that_there_is_nothing_only_if_so():
    text = "FINDINGS: Heart size is normal. Large right pleural effusion.\n\nIMPRESSION: Large right pleural effusion."
    lost = [m for m, e in candidates(text, "omission.actionable", findings_lost).items() if not e.candidate_span]
    assert lost and all(m.startswith("FINDINGS: Heart size is normal.\n\nIMPRESSION: No acute") for m in lost)
    text = text.replace("Heart", "There is a lung mass. Heart")
    lost = [m for m, e in candidates(text, "omission.actionable", findings_lost).items() if not e.candidate_span]
    assert not any("No acute" in made for made in lost)


def test_what_is_old_does_not_go_with_what_is_acted_on():
    text = "Heart is big. Chronic interstitial markings. Left basilar consolidation. No effusion."
    assert not candidates(text, "omission.actionable", findings_lost)
    assert candidates(text.replace("Chronic interstitial markings. ", ""), "omission.actionable", findings_lost)


def test_a_follow_up_goes_with_its_finding():
    text = (
        "Heart size is normal. There is a nodule in the left upper lobe. It measures 9 mm. Lungs are otherwise clear."
    )
    assert not candidates(text, "omission.actionable", findings_lost)  # "otherwise" needs it
    text = text.replace("otherwise ", "")
    assert "Heart size is normal. Lungs are clear." in candidates(text, "omission.actionable", findings_lost)


@pytest.mark.parametrize(
    "text",
    [
        "Small right effusion. Lungs are clear.",  # the rules don't say
        "Opacity in the left base, calcified nodule versus granuloma. Lungs are clear.",
        "There is a nodule in the left upper lobe. Recommend chest CT. Heart is normal.",  # advice would hang
        "Stable nodule in the left upper lobe. Heart is normal.",  # known
        "Moderate effusion cannot be excluded. Heart is normal.",
        "Bibasilar consolidation with XXXX and XXXX. No infiltrate. Heart is normal.",
    ],
)
def test_what_is_not_sure_to_matter_is_not_lost(text):
    assert not candidates(text, "omission.actionable", findings_lost)


def test_benign_findings_and_normal_statements_go_too():
    text = REPORTS[1]
    assert text.replace(" Mild degenerative changes of the thoracic spine.", "") in candidates(text, "omission.benign")
    normal = candidates(text, "omission.normal")
    assert text.replace("Lungs are clear. ", "") in normal
    assert normal[text.replace("effusion or pneumothorax", "effusion")].reference_span == "pneumothorax"
    # Said twice, it would still be there.
    text = "FINDINGS: No pneumothorax. Lungs are clear.\n\nIMPRESSION: No pneumothorax. No effusion."
    assert not any("pneumothorax" not in made for made in candidates(text, "omission.normal"))


def test_a_denied_finding_is_asserted_and_everything_that_denies_it_changes():
    found = candidates(REPORTS[1], "fabrication.urgent")
    told = [(made, e) for made, e in found.items() if "pneumothorax" in e.candidate_span]
    assert told
    for made, error in told:
        assert "No effusion. " + error.candidate_span in made and "or pneumothorax" not in made
        assert "IMPRESSION: No acute" not in made and not error.reference_span
        assert "Lungs are clear." in made  # air outside the lungs does not speak against that
    found = candidates(REPORTS[1], "fabrication.actionable")
    for made, error in found.items():
        if re.search("consolidation|airspace|nodule|mass", error.candidate_span):
            assert "Lungs are otherwise clear" in made and made.index(error.candidate_span) < made.index("otherwise")


def test_a_denial_of_its_own_gives_way():
    text = "FINDINGS: Heart size is normal. There is no pneumothorax.\n\nIMPRESSION: Normal heart."
    found = candidates(text, "fabrication.urgent", seeds=40)
    spans = {e.reference_span for e in found.values() if "pneumothorax" in e.candidate_span}
    assert spans == {"There is no pneumothorax"}
    assert not any("no pneumothorax" in made for made, e in found.items() if "pneumothorax" in e.candidate_span)


def test_nothing_is_added_to_what_speaks_of_it_already():
    text = "FINDINGS: Small pneumothorax. Bony thorax is intact and the aorta is unfolded.\n\nIMPRESSION: As above."
    for rule in ("urgent", "actionable", "benign"):
        for error in candidates(text, f"fabrication.{rule}", findings_added).values():
            assert not re.search("pneumothorax|fracture|aorta", error.candidate_span), error
    assert not any("thorax" in e.candidate_span for e in candidates(text, "fabrication.normal").values())
    # A statement that holds more than what is contradicted is not taken away for it.
    text = "FINDINGS: Heart size is normal and lungs are clear.\n\nIMPRESSION: Nothing new."
    for error in candidates(text, "fabrication.actionable").values():
        assert re.search("effusion|fracture", error.candidate_span), error


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("FINDINGS: Lungs are hyperexpanded but clear. No effusion.", "hyperexpanded"),
        ("FINDINGS: Cardiomediastinal silhouette and pulmonary vasculature are normal. No edema.", "vasculature"),
    ],
)
def test_what_else_a_normal_statement_says_stays(text, lost):
    for rule in ("urgent", "actionable"):
        for made in candidates(text, f"fabrication.{rule}", findings_added, seeds=30):
            assert lost in made


def test_a_numbered_list_keeps_its_numbers():
    text = "IMPRESSION:\n1. Heart size is normal.\n2. Lungs are clear.\n3. No effusion.\n4. Bones are intact."
    for _, made in each(findings, text, seeds=30):
        numbers = re.findall(r"^(\d+)\. \S", made.text, re.M)
        assert numbers == [str(n + 1) for n in range(len(numbers))] and made.text.count("\n") == len(numbers), made.text


def test_normal_statements_join_a_list():
    found = candidates(
        "FINDINGS: No pneumothorax. The patient is tall.\n\nIMPRESSION: As above.", "fabrication.normal", seeds=60
    )
    assert any(re.search(r"No pneumothorax or [a-z ]+\. The patient", made) for made in found)
    assert any(re.search(r"The trachea is midline\.|Trachea midline\.", made) for made in found)


def test_a_finding_is_renamed_in_all_its_mentions_and_its_article_follows():
    text = (
        "FINDINGS: There is an infiltrate in the right lower lobe. Heart size is normal.\n\n"
        "IMPRESSION: Right lower lobe infiltrate."
    )
    found = candidates(text, "inaccuracy.same-action", findings_renamed)
    assert found["FINDINGS: There is an opacity in the right lower lobe. Heart size is normal.\n\n"
                 "IMPRESSION: Right lower lobe opacity."].reference_span == "infiltrate"  # fmt: skip
    found = candidates(text, "inaccuracy.urgency", findings_renamed)
    assert any("There is a nodule in" in m and m.endswith("Right lower lobe nodule.") for m in found)
    assert any("There is a scar in" in m for m in found)


def test_a_worse_name_changes_the_impression_that_denies_it():
    text = (
        "FINDINGS: Degenerative changes of the thoracic spine. Heart size is normal.\n\nIMPRESSION: No acute disease."
    )
    for made in candidates(text, "inaccuracy.urgency", findings_renamed):
        new = re.match(r"FINDINGS: (.*?)\.", made)[1]
        told = made.partition("IMPRESSION: ")[2]
        assert told in (f"{new}.", f"{new}. Otherwise no acute disease.") and not new.startswith("Degen")
    # The vertebrae are said to be intact in words that would have to go as well.
    assert not candidates(
        text.replace("Heart", "Vertebrae and ribs intact. Heart"), "inaccuracy.urgency", findings_renamed
    )


@pytest.mark.parametrize(
    "text",
    [
        "Scarring is consistent with old disease. Heart is normal.",
        "Bony overlap could obscure a small nodule. Heart is normal.",
        "Left basilar atelectasis. No consolidation, fibrosis, scarring, or infiltrate. No airspace disease.",
        "Apical thickening/scarring. Heart is normal.",
        "Trace left effusion. Heart is normal.",
    ],
)
def test_names_that_something_hangs_on_stay(text):
    for rule in ("urgency", "same-action"):
        assert not candidates(text, f"inaccuracy.{rule}", findings_renamed)


def test_a_joined_item_is_quoted_without_its_conjunction():
    text = "FINDINGS: No pneumothorax. The patient is tall.\n\nIMPRESSION: As above."
    spans = {e.candidate_span for e in candidates(text, "fabrication.normal", seeds=60).values()}
    assert "pleural effusion" in spans and not any(re.match(r"(?:or|and)\b|,", span) for span in spans)


def test_a_denial_is_said_again_of_a_part_and_of_no_degree_alone():
    text = "FINDINGS: There is no pneumothorax. Both lungs are clear. The spine is normal.\n\nIMPRESSION: Normal chest."
    told = {e.candidate_span for e in candidates(text, "fabrication.normal", findings_repeated, 60).values()}
    assert any(re.search(r"^(?:No|There (?:is|are) no) (?:left|right)", words) for words in told)
    for words in told:
        assert re.match(r"(?:No|There (?:is|are) no) ", words), words
        denied = analyse(words).mentions
        assert denied and {m.polarity for m in denied} == {"absent"}, words
        assert not re.search(r"evidence of .*(?:nodule|mass|lesion|fracture|deformity)\b", words), words
        assert not re.search(r"\b(?:healing|mild|moderate|large|severe|marked|small|new|worsening|tube)\b", words), (
            words
        )
    # One lung is not both.
    text = text.replace("Both lungs are", "The right lung is").replace("Normal chest", "As above")
    told = {e.candidate_span for e in candidates(text, "fabrication.normal", findings_repeated, 60).values()}
    assert told and not any(re.search("nodule|mass|consolidation|edema", words) for words in told)


def test_a_denial_is_not_narrowed_beside_itself():
    text = "FINDINGS: Heart is normal. No pneumothorax. Bones are intact.\n\nIMPRESSION: Small scar. Unchanged."
    found = candidates(text, "fabrication.normal", findings_repeated, 40)
    told = [made for made, e in found.items() if "pneumothorax" in e.candidate_span]
    assert told and all(re.search(r"Unchanged\. [^.]*pneumothorax", made) for made in told)
    text = "FINDINGS: Heart is normal. No pneumothorax."
    assert not any(
        "pneumo" in e.candidate_span for e in candidates(text, "fabrication.normal", findings_repeated).values()
    )


def test_what_is_said_besides_an_added_finding_is_said_once_and_of_nothing_else():
    found = [
        (edit, made) for edit, made in each(findings_added, REPORTS[1], seeds=60) if edit.severity == "significant"
    ]
    told = {made.errors[0].candidate_span for _, made in found}
    assert any(re.search(r"without|, no", words) for words in told)
    for words in told:
        assert len(re.findall("calcif", words)) <= 1 and not re.search(r"(?:is|are) .*, no ", words), words
    shifted = [edit for edit, made in found if "mediastinal shift" in made.text and "pneumothorax" in edit.topics]
    assert shifted and all("mediastinal_shift" in edit.topics for edit in shifted)


@pytest.mark.parametrize(
    "text",
    [
        "There is a lobulated, bright scar in the left apex. Heart is normal.",
        "Stable degenerative changes of the spine. Heart is normal.",
        "Degenerative changes of the spine and both shoulder joints. Heart is normal.",
        "Scoliosis of the spine limits the view. Heart is normal.",
        "Infiltrates in the left base, probably scars. Heart is normal.",
        "Slight cardiomegaly. Lungs are clear.",
    ],
)
def test_a_name_is_not_made_graver_where_its_words_would_not_fit(text):
    told = {e.candidate_span for e in candidates(text, "inaccuracy.urgency", findings_renamed, 40).values()}
    assert not told - {"Lytic lesions"} and not (told and "Stable" in text)


def test_the_same_seed_gives_the_same_edits():
    analysis = analyse(REPORTS[0])
    assert list(findings.edits(analysis, random.Random(3))) == list(findings.edits(analysis, random.Random(3)))
