"""Advice lost, changed and added, and what only looks like advice."""

import functools
import re

import pytest
from synth.injected import errors

from reeval.synth.injectors import recommendations

NODULE = (
    "FINDINGS: There is a 9 mm nodule in the left upper lobe. Heart size is normal.\n\n"
    "IMPRESSION: Left upper lobe nodule. Recommend CT of the chest in 6 to 8 weeks."
)
NORMAL = "FINDINGS: Heart size is normal. Lungs are clear.\n\nIMPRESSION: No acute cardiopulmonary abnormality."
candidates = functools.partial(errors, recommendations)


def test_needed_advice_is_lost():
    found = candidates(NODULE, "omission")
    assert list(found) == [NODULE.removesuffix(" Recommend CT of the chest in 6 to 8 weeks.")]
    (error,) = found.values()
    assert error.reference_span == "Recommend CT of the chest in 6 to 8 weeks." and error.severity == "significant"


def test_generic_advice_is_lost_as_a_sentence_or_a_clause():
    text = "IMPRESSION: Left basilar opacity. Clinical correlation is recommended."
    (error,) = candidates(text, "omission").values()
    assert error.severity == "insignificant"
    text = "IMPRESSION: Left basilar opacity, clinical correlation recommended. Heart is normal."
    (made,) = candidates(text, "omission")
    assert made == "IMPRESSION: Left basilar opacity. Heart is normal."


@pytest.mark.parametrize(
    "text",
    [
        "IMPRESSION: Calcification suggests old disease. No opacity to suggest pneumonia.",
        "IMPRESSION: Correlate clinically.",  # nothing would be left
        "IMPRESSION: Nodule. Recommend chest CT. As in the findings, CT is recommended.",  # the same twice
        "IMPRESSION: Nodule. Clinical correlation and follow-up CT are recommended.",  # generic and needed in one
        "IMPRESSION: Opacity. If clinically indicated, correlation with CT could be performed.",  # not only generic
        "IMPRESSION: Opacities. Further evaluation of the thorax could be performed, if clinically indicated.",
        "IMPRESSION: No acute disease. Heart size is normal. Critical result notification documented.",
        "IMPRESSION: Small nodule. Comparison with a prior chest radiograph would be helpful.",
        "IMPRESSION: Nodule. Findings were discussed with the ward at ___. ___ by telephone. Heart is normal.",
        "IMPRESSION: Nodule. Recommend comparison with prior films. If none are available, obtain another study.",
    ],
)
def test_what_is_not_lost(text):
    assert not candidates(text, "omission")


def test_an_interval_leaves_its_range_or_stays_within():
    assert {e.candidate_span for e in candidates(NODULE, "inaccuracy.interval").values()} == {"6 to 8 months"}
    assert {e.candidate_span for e in candidates(NODULE, "inaccuracy.same-range").values()} == {"6 weeks", "8 weeks"}
    one = NODULE.replace("6 to 8 weeks", "3 months")
    assert {e.candidate_span for e in candidates(one, "inaccuracy.same-range").values()} == {"3 to 4 months"}
    assert {e.candidate_span for e in candidates(one, "inaccuracy.interval").values()} == {"3 years"}
    # A time that is no interval of follow-up.
    assert not candidates("IMPRESSION: Nodule, unchanged for 3 months. Discussed with the ward.", "inaccuracy.interval")


def test_advice_is_misdirected():
    found = candidates(NODULE, "inaccuracy.misdirected")
    assert any("Recommend MRI of the brain in 6 to 8 weeks." in made for made in found)
    assert any("No need for CT of the chest in 6 to 8 weeks." in made for made in found)
    assert all(error.severity == "significant" and error.reference_span in NODULE for error in found.values())
    assert any("NO NEED FOR CT" in made for made in candidates(NODULE.upper(), "inaccuracy.misdirected"))


def test_advice_is_added_at_the_end():
    found = candidates(NORMAL, "fabrication")
    assert {e.severity for e in found.values()} == {"significant", "insignificant"}
    for made, error in found.items():
        assert made == f"{NORMAL} {error.candidate_span}" and not error.reference_span
    made = next(iter(candidates("IMPRESSION:\n1. No acute disease.\n2. Old granuloma.", "fabrication.generic")))
    assert re.search(r"\n2\. Old granuloma\.\n3\. [A-Z]", made)


def test_a_procedure_is_unsupported_only_where_nothing_supports_it():
    found = {e.candidate_span for e in candidates(NORMAL, "fabrication.unsupported", seeds=60).values()}
    assert any("CT" not in words for words in found) and not any("indicated" in words for words in found)
    for finding in ("Small left effusion", "Possible pneumonia", "Left basilar opacity", "9 mm nodule"):
        assert not candidates(NORMAL.replace("Lungs are clear", finding), "fabrication.unsupported"), finding
    # Nor is advice against more of no account where there is something to act on.
    told = {e.candidate_span for e in candidates(NORMAL, "fabrication.generic").values()}
    assert any(words.startswith("No ") for words in told)
    told = {e.candidate_span for e in candidates("IMPRESSION: 9 mm nodule.", "fabrication.generic").values()}
    assert told and not any(words.startswith("No ") or "not recommended" in words for words in told)
    assert not candidates(NODULE, "fabrication")  # there is advice already
