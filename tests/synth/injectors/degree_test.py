"""Words of degree: neighbours, opposites, lost and added, as adjectives and as adverbs."""

import pytest
from synth.injected import candidates, spans, texts

from reeval.synth.injectors import degree

URGENCY, NEIGHBOUR = "degree.inaccuracy.urgency", "degree.inaccuracy.neighbour"
LOST, LOST_MILD = "degree.omission.urgent", "degree.omission.mild"
ADDED, ADDED_MILD = "degree.fabrication.urgent", "degree.fabrication.mild"


def test_opposites_and_neighbours():
    text = "FINDINGS: There is a small right pleural effusion. Heart is normal.\n\nIMPRESSION: Small right effusion."
    assert (
        "FINDINGS: There is a large right pleural effusion. Heart is normal.\n\nIMPRESSION: Large right effusion."
        in texts(degree, text, URGENCY)
    )
    assert ("small right pleural effusion", "large right pleural effusion") in spans(degree, text, URGENCY)
    assert (
        "FINDINGS: There is a tiny right pleural effusion. Heart is normal.\n\nIMPRESSION: Tiny right effusion."
        in texts(degree, text, NEIGHBOUR)
    )


def test_an_adverb_stays_one_where_the_impression_has_the_noun():
    text = "FINDINGS: The heart is mildly enlarged. Lungs are clear.\n\nIMPRESSION: Mild cardiomegaly."
    assert texts(degree, text, URGENCY) == {
        f"FINDINGS: The heart is {word}ly enlarged. Lungs are clear.\n\nIMPRESSION: {word.title()} cardiomegaly."
        for word in ("severe", "marked")
    }


def test_a_lost_degree_leaves_its_article_right():
    assert texts(degree, "FINDINGS: There is a large airspace opacity in the right lung.", LOST) == {
        "FINDINGS: There is an airspace opacity in the right lung."
    }
    assert texts(degree, "FINDINGS: Mild degenerative changes. Lungs are clear.", LOST_MILD) == {
        "FINDINGS: Degenerative changes. Lungs are clear."
    }


def test_a_degree_is_added_behind_words_of_change():
    assert texts(degree, "IMPRESSION: Stable cardiomegaly.", ADDED) == {
        "IMPRESSION: Stable severe cardiomegaly.",
        "IMPRESSION: Stable marked cardiomegaly.",
    }
    assert texts(degree, "FINDINGS: The heart is enlarged.", ADDED) == {
        "FINDINGS: The heart is severely enlarged.",
        "FINDINGS: The heart is markedly enlarged.",
    }
    assert "FINDINGS: Mild scarring in the left apex." in texts(
        degree, "FINDINGS: Scarring in the left apex.", ADDED_MILD
    )


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({URGENCY, NEIGHBOUR, LOST}, "FINDINGS: No large pleural effusion."),
        ({URGENCY, NEIGHBOUR}, "FINDINGS: Small to moderate pleural effusion on the left."),
        ({URGENCY, NEIGHBOUR}, "FINDINGS: Small right pneumothorax measuring 8 mm."),
        ({URGENCY}, "FINDINGS: Mild degenerative changes."),
        ({URGENCY}, "FINDINGS: Large left effusion with compressive collapse of the lung."),
        ({LOST_MILD}, "FINDINGS: Small left pleural effusion."),
        ({LOST}, "FINDINGS: Severe degenerative changes."),
        ({ADDED}, "FINDINGS: Possible pulmonary edema."),
        ({ADDED}, "FINDINGS: Subtle pleural effusion."),
        ({ADDED, ADDED_MILD}, "FINDINGS: The heart is large."),
        ({URGENCY}, "FINDINGS: Small left pleural effusion. No acute cardiopulmonary disease."),
        ({URGENCY, NEIGHBOUR}, "FINDINGS: Small left and large right pleural effusions."),
    ],
)
def test_no_edit_where_it_could_be_disputed(rules, text):
    assert not rules & set(candidates(degree, text))


def test_a_capital_behind_a_colon_stays():
    text = "FINDINGS: Clear lungs. Left knee: Minimal degenerative changes."
    assert texts(degree, text, NEIGHBOUR) == {text.replace("Minimal", "Mild")}
    assert texts(degree, text, LOST_MILD) == {text.replace("Minimal d", "D")}


def test_a_degree_that_a_graver_finding_shares_stays():
    assert not texts(degree, "IMPRESSION: Small left basilar scarring and/or effusion.", NEIGHBOUR)
    assert not texts(degree, "IMPRESSION: Cardiomegaly and pulmonary edema.", ADDED)
    assert texts(degree, "IMPRESSION: Small left basilar scarring and no effusion.", NEIGHBOUR)


def test_what_is_dense_is_not_slight():
    assert not texts(degree, "FINDINGS: Dense atherosclerotic calcification of the aorta.", ADDED_MILD)
