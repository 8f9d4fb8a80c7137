"""Sites: exchanged by rank, lost and added, the lobes right for their side."""

import pytest
from synth.injected import candidates, spans, texts

from reeval.synth.injectors import location

ADJACENT, DISTANT, SPACE = (f"location.inaccuracy.{rule}" for rule in ("adjacent", "distant", "other-space"))
DECIDES, NOTHING = "location.omission.decides", "location.omission.adds-nothing"
DETAIL, URGENCY = "location.fabrication.detail", "location.fabrication.urgency"


def test_adjacent_and_distant_lobes_in_every_mention():
    text = (
        "FINDINGS: There is consolidation in the right upper lobe. Heart is normal.\n\n"
        "IMPRESSION: Right upper lobe pneumonia."
    )
    for rule, new in ((ADJACENT, "middle lobe"), (DISTANT, "lower lobe")):
        assert texts(location, text, rule) == {
            f"FINDINGS: There is consolidation in the right {new}. Heart is normal.\n\n"
            f"IMPRESSION: Right {new} pneumonia."
        }
    assert spans(location, text, DISTANT) == {
        ("consolidation in the right upper lobe", "consolidation in the right lower lobe")
    }


def test_there_is_no_middle_lobe_on_the_left():
    made = texts(location, "FINDINGS: Left lower lobe granuloma. Heart is normal.", ADJACENT)
    assert made == {"FINDINGS: Left lingular granuloma. Heart is normal."}


def test_another_space_for_a_nodule_only():
    made = texts(location, "FINDINGS: Suspicious nodule in the right upper lobe. Heart is normal.", SPACE)
    assert "FINDINGS: Suspicious nodule in the right chest wall. Heart is normal." in made
    assert SPACE not in candidates(location, "FINDINGS: Consolidation in the right upper lobe.")


def test_lobes_of_nodules_decide_and_those_of_atelectasis_do_not():
    text = "FINDINGS: Mass in the right upper lobe. Heart is normal."
    assert texts(location, text, DECIDES) == {"FINDINGS: Mass in the right lung. Heart is normal."}
    text = "FINDINGS: Right upper lobe nodule. Heart is normal."
    assert texts(location, text, DECIDES) == {"FINDINGS: Right lung nodule. Heart is normal."}
    text = "FINDINGS: Mild bibasilar atelectasis. Degenerative changes of the thoracic spine."
    assert texts(location, text, NOTHING) == {
        "FINDINGS: Mild bilateral atelectasis. Degenerative changes of the thoracic spine.",
        "FINDINGS: Mild bibasilar atelectasis. Degenerative changes.",
    }


def test_a_site_that_only_adds_detail():
    text = "FINDINGS: Mild atelectasis. Degenerative changes of the spine."
    made = texts(location, text, DETAIL, seeds=30)
    assert "FINDINGS: Mild basilar atelectasis. Degenerative changes of the spine." in made
    assert "FINDINGS: Mild atelectasis. Degenerative changes of the lower thoracic spine." in made


def test_a_site_that_makes_a_finding_urgent():
    made = texts(location, "FINDINGS: There is a small effusion. Lungs are clear.", URGENCY)
    assert made == {"FINDINGS: There is a small pericardial effusion. Lungs are clear."}
    assert URGENCY not in candidates(location, "FINDINGS: There is a small right effusion.")
    made = texts(location, "FINDINGS: Heart is normal.\n\nIMPRESSION: Emphysema.", URGENCY)
    assert "FINDINGS: Heart is normal.\n\nIMPRESSION: Mediastinal emphysema." in made
    assert URGENCY not in candidates(location, "IMPRESSION: Emphysema. No acute cardiopulmonary disease.")


def test_the_rib_above_or_below():
    made = texts(location, "FINDINGS: Healed fracture of the left 6th rib. Lungs are clear.", ADJACENT)
    assert made == {f"FINDINGS: Healed fracture of the left {rib} rib. Lungs are clear." for rib in ("5th", "7th")}
    assert ADJACENT not in candidates(location, "FINDINGS: Healed fractures of the left 5th through 8th ribs.")


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: Right lower lobe granuloma.",  # benign: no distance matters
        "FINDINGS: Right basilar opacity obscuring the right hemidiaphragm.",
        "FINDINGS: Opacity in the posterior segment of the right lower lobe.",
        "FINDINGS: No consolidation in the right lower lobe.",
        "FINDINGS: Consolidation in the right lower XXXX.",
        "FINDINGS: Right basilar airspace disease. Something else at the right lower lung.",
    ],
)
def test_no_distant_site_where_the_rest_would_tell(text):
    assert DISTANT not in candidates(location, text)


def test_the_lingula_needs_no_side():
    made = texts(location, "FINDINGS: Granuloma in the left lower lobe. Heart is normal.", ADJACENT)
    assert made == {"FINDINGS: Granuloma in the lingula. Heart is normal."}


def test_what_a_lobe_obscures_keeps_the_lobe():
    text = "FINDINGS: Right middle lobe opacity obscures the cardiac margin. Normal lung volumes."
    assert not texts(location, text, ADJACENT)


def test_the_span_is_that_of_the_first_finding_of_a_site():
    text = "FINDINGS: Degenerative change of the lower thoracic spine, anterior osteophytes. Normal heart."
    assert {before for before, _ in spans(location, text, ADJACENT)} == {
        "Degenerative change of the lower thoracic spine"
    }


def test_an_abbreviation_taken_out_leaves_no_capital():
    text = "FINDINGS: There are small T-spine osteophytes. Normal heart."
    assert texts(location, text, NOTHING) == {"FINDINGS: There are small osteophytes. Normal heart."}


def test_emphysema_of_the_lungs_stays_there():
    assert texts(location, "FINDINGS: Emphysema. Normal heart.", URGENCY)
    assert not texts(location, "FINDINGS: Hyperinflated lungs. Emphysema.", URGENCY)
