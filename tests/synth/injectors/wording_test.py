"""Typos, misleading terms, repetition, filler, contradiction and sentences that break off."""

import functools
import random
import re

import pytest
from synth.injected import check_whole, errors

from reeval.synth import terms
from reeval.synth.injectors import wording
from reeval.synth.injectors.typos import word_with_slip

TEXT = (
    "FINDINGS: Frontal and lateral views of the chest were obtained. The lungs are hyperinflated. The mediastinum is"
    " unremarkable. Specifically, there is no pneumothorax. No consolidation.\n\n"
    "IMPRESSION: Hyperinflated lungs. No consolidation."
)
candidates = functools.partial(errors, wording)


@pytest.mark.parametrize("text", [TEXT, TEXT.upper(), "Heart is normal. There is a large right effusion."])
def test_candidates_are_whole_and_their_spans_stand(text):
    check_whole(wording, text)


def test_a_slip_leaves_the_word_plain():
    rng = random.Random(0)
    for _ in range(2000):
        word = rng.choice(["pneumothorax", "effusion", "consolidation", "silhouette", "degenerative", "granuloma"])
        slip = word_with_slip(word, rng)
        assert slip and slip != word and slip[0] == word[0] and slip[-1] == word[-1]
        assert abs(len(slip) - len(word)) <= 1 and not list(terms.find(slip, 0, len(slip)))


@pytest.mark.parametrize(
    "word", ["hyperinflated", "hypoinflated", "bilateral", "increased", "unchanged", "normal", "interim", "Silhouette"]
)
def test_a_slip_that_could_mislead_is_not_made(word):
    assert all(word_with_slip(word, random.Random(seed)) is None for seed in range(50))


def test_a_misleading_term_in_one_place():
    found = candidates(TEXT, "inaccuracy.misleading")
    assert not found  # the lungs are hyperinflated in two places
    found = candidates(TEXT.replace("The lungs are hyperinflated. ", ""), "inaccuracy.misleading")
    assert ("Hyperinflated", "Hypoinflated") in {(e.reference_span, e.candidate_span) for e in found.values()}
    assert all(e.severity == "significant" for e in found.values())
    # Something else says what is meant.
    assert not candidates("The lungs are hyperinflated with flattened diaphragms.", "inaccuracy.misleading")
    assert not candidates("Lung volumes are low. Hypoinflation of the lungs.", "inaccuracy.misleading")
    assert not candidates("The lungs are not hyperinflated. No emphysema.", "inaccuracy.misleading")


def test_typos_are_insignificant_and_single():
    for made, error in candidates(TEXT, "inaccuracy.typo").items():
        assert error.severity == "insignificant"
        assert made == TEXT.replace(error.reference_span, error.candidate_span, 1) or error.reference_span in made


def test_filler_and_repetition_are_lost():
    found = {e.reference_span: made for made, e in candidates(TEXT, "omission.filler").items()}
    assert set(found) == {"Frontal and lateral views of the chest were obtained.", "Specifically", "No consolidation."}
    assert "FINDINGS: The lungs are" in found["Frontal and lateral views of the chest were obtained."]
    assert "unremarkable. There is no pneumothorax." in found["Specifically"]
    assert found["No consolidation."].endswith("IMPRESSION: Hyperinflated lungs.")
    headed = "IMPRESSION: Neck is normal. Frontal and lateral views of the chest.\n1. Lungs are clear.\n2. No effusion."
    assert not any(e.reference_span.startswith("Frontal") for e in candidates(headed, "omission.filler").values())
    text = "The visualized osseous structures are intact. No visualized pneumothorax."
    assert list(candidates(text, "omission.filler")) == [text.replace("visualized ", "", 1)]


def test_filler_and_repetition_are_added():
    found = candidates(TEXT, "fabrication.filler", seeds=40)
    assert not any("views" in e.candidate_span or "radiographs" in e.candidate_span for e in found.values())
    assert any(made.startswith(TEXT.split("\n")[0] + " The mediastinum is unremarkable.\n") for made in found)
    assert any(re.search(r"[A-Z][a-z]+ [a-z ]+,? the (?:lungs|mediastinum) (?:is|are)", made) for made in found)
    assert any("views" in e.candidate_span for e in candidates("Heart is normal.", "fabrication.filler").values())
    # Long sentences, and the last one, are not said twice.
    long = (
        "The lungs are clear without any sign of consolidation, effusion, pneumothorax, nodule or edema on either side."
    )
    text = f"{long} Heart size is normal. Bones are intact."
    added = {e.candidate_span for e in candidates(text, "fabrication.filler", seeds=40).values()}
    assert "Heart size is normal." in added and not added & {long, "Bones are intact."}
    # A turn needs a clause with a verb.
    for text, fits in (("Heart size normal lungs are clear.", False), ("Heart size is normal.", True)):
        turned = candidates(f"There is no effusion. {text}", "fabrication.filler", seeds=40)
        assert any(re.search(" heart size", made) for made in turned) == fits
    # A turn is no item of its own.
    listed = "FINDINGS: Heart is big.\n\nIMPRESSION:\n1. Large heart.\n2. No effusion."
    assert not any(re.search("above|images were", made) for made in candidates(listed, "fabrication.filler"))


def test_a_contradiction_leaves_what_it_contradicts():
    found = candidates(TEXT, "fabrication.contradiction", seeds=40)
    assert found and all(made.replace(f" {e.candidate_span}", "") == TEXT for made, e in found.items())
    assert all(re.search("pneumothorax|onsolidation", e.candidate_span) for e in found.values())
    found = candidates("Heart is normal. Large right effusion.", "fabrication.contradiction")
    assert {e.candidate_span for e in found.values()} <= {"No pleural effusion.", "There is no pleural effusion."}
    # "No large effusion" leaves room for a moderate one, and a small one is not sure to be acted on.
    assert not candidates("Heart is normal. No large effusion.", "fabrication.contradiction")
    assert not candidates("Heart is normal. Small effusion.", "fabrication.contradiction")
    # Neither is what went away, what a granuloma is not, or another fracture than the denied one.
    assert candidates("Heart is normal. Right lower lobe consolidation.", "fabrication.contradiction")
    assert candidates("Heart is normal. No rib fracture.", "fabrication.contradiction")
    for near in (
        "Heart is normal. Improved right lower lobe consolidation.",
        "Heart is normal. Resolution of the right lower lobe consolidation.",
        "Heart is normal. Lungs are clear consolidation.",
        "Heart is normal. 12 mm nodule in the right upper lobe, a granuloma.",
        "Heart is normal. No displaced rib fracture.",
    ):
        assert not candidates(near, "fabrication.contradiction"), near


def test_a_sentence_breaks_off_before_its_finding():
    text = "Heart is normal. There is a large right pleural effusion at the base. Bones are intact."
    (made,) = candidates(text, "omission.acted-on")
    assert made == "Heart is normal. There is a large right. Bones are intact."
    (error,) = candidates(text, "omission.acted-on").values()
    assert error.reference_span == "pleural effusion at the base" and error.severity == "significant"
    for near in (
        text.replace("large", "small"),
        text + " Large right effusion.",
        text.replace("There is a large right p", "P"),
        text.replace("There is a large", "There is a stable large"),
        text.replace("There is a large", "No large"),
        text.replace("at the base", "behind a catheter"),
    ):
        assert not candidates(near, "omission.acted-on"), near
