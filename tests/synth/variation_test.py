"""Harmless variation keeps what a report says, and `facts` tells where it is not kept. The reports are hand-written."""

import random

import pytest
from synth.changed import changed

from reeval.synth.analysis import analyse
from reeval.synth.candidate import assemble, fits
from reeval.synth.facts import facts
from reeval.synth.variation import orders, variations

REPORTS = [
    "FINDINGS: The cardiac silhouette is mildly enlarged. Small right pleural effusion at the base. There is patchy "
    "left lower lobe airspace disease. No pneumothorax, pulmonary edema or focal consolidation. Bony structures are "
    "intact.\n\nIMPRESSION: Small right effusion. Left lower lobe airspace disease, which may represent pneumonia.",
    "FINDINGS: Heart size and mediastinal contours are within normal limits. The lungs are clear without focal "
    "consolidation or pleural effusion. A 1.2 cm calcified granuloma is seen in the right upper lobe, unchanged. "
    "Degenerative changes of the thoracic spine.\n\nIMPRESSION: 1. No acute cardiopulmonary abnormality.\n"
    "2. Stable right upper lobe granuloma.",
    "The trachea is midline. Lungs are hyperinflated. Moderate bilateral pleural effusions have increased. No "
    "pneumothorax is seen. Two healed left rib fractures are again noted. Endotracheal tube tip is 5 cm above the "
    "carina.",
    "FINDINGS: Heart size is\nnormal. No large\neffusion or focal\nconsolidation. A 2.5 x 3\ncm mass in the right\n"
    "upper lobe, increased. Mild\nleft basilar atelectasis.\n\nIMPRESSION: Right upper\nlobe mass.",
    "FINDINGS:\n- HEART SIZE IS NORMAL.\n- THERE IS NO EFFUSION OR PNEUMOTHORAX.\n- MILD BIBASILAR ATELECTASIS.\n\n"
    "IMPRESSION: NO ACUTE DISEASE.",
    "FINDINGS: Stable elevation of the right hemidiaphragm. The aorta is tortuous. Normal heart size. No large "
    "effusion or pneumothorax. The lungs and pleural spaces are clear. Low lung volumes and scattered granulomas.\n\n"
    "IMPRESSION: Normal chest radiograph.",
]


def all_of(text: str, draws: int = 25) -> dict[str, set[str]]:
    """Kind -> the texts that variations of it make."""
    found: dict[str, set[str]] = {}
    for seed in range(draws):
        for variation in variations(analyse(text), random.Random(seed)):
            found.setdefault(variation.kind, set()).add(changed(text, variation.changes))
    return found


@pytest.mark.parametrize("text", REPORTS)
def test_every_variation_keeps_the_facts_and_the_form(text: str) -> None:
    found = all_of(text)
    assert sum(map(len, found.values())) > 40
    for kind, made in found.items():
        for new in made:
            assert new != text, kind
            assert facts(new) == facts(text), (kind, new)
            assert "  " not in new and " ." not in new and " ," not in new, (kind, new)
            if not text.isupper():
                sentences = analyse(new).document
                starts = [sentences.of(sentence)[0] for sentence in sentences.sentences]
                assert not any(start.islower() for start in starts), (kind, new)


@pytest.mark.parametrize("text", REPORTS)
def test_half_of_the_sentences_can_vary_and_most_kinds_stand_together(text: str) -> None:
    analysis = analyse(text)
    for seed in range(20):
        rng = random.Random(seed)
        pool = list(variations(analysis, rng))
        touched = {analysis.document.index(c.start) for v in pool for c in v.changes} - {None}
        assert len(touched) > len(analysis.document.sentences) / 2
        rng.shuffle(pool)
        taken: list = []
        for variation in pool:
            if fits(taken, variation):
                taken.append(variation)
        moved = [order for order in orders(analysis, rng)][:1]
        candidate = assemble(analysis.document, (), taken, moved)
        assert facts(candidate.text) == facts(text), candidate.text


@pytest.mark.parametrize(
    ("text", "kind", "new"),
    [
        ("No effusion or pneumothorax.", "order", "No pneumothorax or effusion."),
        ("No effusion or pneumothorax.", "split", "No pneumothorax. No effusion."),
        ("No effusion or pneumothorax.", "negation", "There is no effusion or pneumothorax."),
        ("No pneumothorax.", "negation", "Pneumothorax is not seen."),
        ("No pneumothorax.", "negation", "No right or left pneumothorax."),
        ("No effusion. No pneumothorax.", "merge", "No effusion or pneumothorax."),
        ("Small right pleural effusion.", "recast", "Small right-sided pleural effusion."),
        ("Small right pleural effusion.", "recast", "A small pleural effusion is seen on the right."),
        ("Right lower lobe opacity.", "recast", "Opacity in the right lower lobe."),
        ("Right lower lobe opacity.", "recast", "RLL opacity."),
        ("An opacity is seen in the right lower lobe.", "recast", "Right lower lobe opacity."),
        ("Mild cardiomegaly.", "recast", "The heart is mildly enlarged."),
        ("The heart is mildly enlarged.", "recast", "Mild cardiomegaly."),
        ("Bilateral pleural effusions.", "recast", "Left and right pleural effusions."),
        ("Stable calcified granuloma.", "recast", "Calcified granuloma is stable."),
        ("8 mm nodule in the left upper lobe.", "recast", "8 mm nodule in the LUL."),
        ("8 mm nodule in the left upper lobe.", "unit", "0.8 cm nodule in the left upper lobe."),
        ("Heart size is normal.", "normal", "The heart is not enlarged."),
        ("Heart size is normal.", "normal", "No cardiomegaly."),
        ("The trachea is midline.", "normal", "No tracheal deviation."),
        ("Lungs are clear.", "normal", "The right and left lungs are clear."),
        ("The lungs are clear. Heart size is normal.", "normal", "Clear lungs. Heart size is normal."),
        ("Cardiomegaly without acute disease.", "split", "Cardiomegaly. No acute abnormality."),
        ("The lungs are clear without effusion.", "split", "The lungs are clear. No effusion."),
        ("No acute cardiopulmonary disease.", "global", "No evidence of acute cardiopulmonary abnormality."),
        ("Low lung volumes with right pleural effusion.", "attribute", "Low lung volumes with right-sided effusion."),
        ("FINDINGS: Cardiomegaly.", "heading", "Findings: Cardiomegaly."),
        ("IMPRESSION: Cardiomegaly. Clear lungs.", "layout", "IMPRESSION:\n1. Cardiomegaly.\n2. Clear lungs."),
        ("IMPRESSION:\n1. Cardiomegaly.\n2. Clear lungs.", "layout", "IMPRESSION:\nCardiomegaly. Clear lungs."),
        ("NO EFFUSION OR PNEUMOTHORAX.", "order", "NO PNEUMOTHORAX OR EFFUSION."),
    ],
)
def test_what_another_radiologist_could_have_written(text: str, kind: str, new: str) -> None:
    assert new in all_of(text, 150).get(kind, set())


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        # A word of the first item could speak of all of them.
        ("No large effusion or pneumothorax.", {"order", "split"}),
        ("No right shoulder fracture or dislocation.", {"order", "split"}),
        # The first one's side may be the second one's, too.
        ("Right pleural effusion and atelectasis.", {"split", "order"}),
        # A placeholder hides a word.
        ("No XXXX effusion or pneumothorax.", {"order", "split", "negation", "recast"}),
        ("Small XXXX right effusion.", {"recast", "attribute"}),
        # A doubt reaches over what follows.
        ("Possible opacity without effusion.", {"split"}),
        ("The lungs are without consolidation.", {"split"}),
        ("TECHNIQUE: Two views of the chest, compared to prior study.", {"synonym", "number"}),
    ],
)
def test_what_could_change_the_meaning_is_left(text: str, kinds: set[str]) -> None:
    assert not kinds & set(all_of(text))


def test_shades_that_are_errors_are_no_variation() -> None:
    # "stable" and "unchanged", "small" and "tiny", "opacity" and "consolidation" are cells of the taxonomy.
    made = set().union(*all_of("Stable small left lower lobe opacity, likely atelectasis.", 60).values())
    for word in ("unchanged", "tiny", "minimal", "consolidation", "infiltrate", "probabl", "possib"):
        assert not any(word in new.lower() for new in made), word
    assert made and all("stable" in new.lower() for new in made)


def test_orders_keep_in_place_what_leans_on_another() -> None:
    text = (
        "FINDINGS: Heart size is normal. There is a nodule. It measures 8 mm. No effusion. Bones are intact. "
        "The lungs are otherwise clear.\n\nIMPRESSION: 1. Nodule. 2. No effusion."
    )
    found = {order for seed in range(40) for order in orders(analyse(text), random.Random(seed))}
    assert {run for run, _ in found} == {(3,)} or all(set(run) <= {3, 4} for run, _ in found)
    plain = "FINDINGS: Heart size is normal. No effusion. Cardiomegaly is stable."
    found = {order for seed in range(40) for order in orders(analyse(plain), random.Random(seed))}
    assert {run for run, _ in found} == {(0, 1, 2)} and len(found) == 5
    for run, order in found:
        assert sorted(order) == list(run) and order != run


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Small right effusion.", "Small left effusion."),
        ("Small right effusion.", "Right effusion."),
        ("Small right effusion.", "Moderate right effusion."),
        ("No effusion.", "Effusion."),
        ("Probable pneumonia.", "Pneumonia."),
        ("8 mm nodule.", "8 cm nodule."),
        ("Stable nodule.", "Nodule."),
        ("Two rib fractures.", "Three rib fractures."),
        ("Opacity in the right upper lobe.", "Opacity in the right lower lobe."),
        ("Heart size is normal.", "Heart size is stable."),
        ("Heart size is normal. Lungs are clear.", "Lungs are clear."),
        ("No effusion or pneumothorax.", "No effusion."),
        ("No acute bony abnormality.", "No acute pulmonary abnormality."),
    ],
)
def test_facts_tell_reports_apart(one: str, other: str) -> None:
    assert facts(one) != facts(other)


def test_subjects_of_one_statement_get_sentences_of_their_own() -> None:
    for text in ("Heart size and mediastinum are normal.", "Heart size normal, lungs are clear."):
        made = all_of(text)["split"]
        assert len(made) > 10 and all(new.count(".") == 2 for new in made)


def test_no_contour_is_normal_in_contour() -> None:
    made = all_of("The cardiomediastinal silhouette is normal in size and contour. Lungs are clear.")["normal"]
    assert len(made) > 5 and not any(new.count("contour") > 1 for new in made)


def test_what_would_be_garbled_stays() -> None:
    made = all_of("Heart is normal. Left upper right basilar atelectasis and small effusion.")
    assert not any("left upper atelectasis" in new.lower() for texts in made.values() for new in texts)
    made = all_of("No consolidating airspace disease is seen within the lungs. Heart is normal.")
    assert not any("is seen within the lungs is" in new for texts in made.values() for new in texts)
    made = all_of("Mildly low lung volumes. Heart is normal.")
    assert made["recast"] and not any("mild low" in new.lower() for new in made["recast"])
    text = "Heart is normal. Large effusion. Could be further evaluated with CT. No nodule. Bones are intact."
    found = [run for seed in range(20) for run, _ in orders(analyse(text), random.Random(seed))]
    assert found and not any({1, 2} & set(run) for run in found)


def test_the_same_seed_gives_the_same_variations() -> None:
    for text in REPORTS:
        analysis = analyse(text)
        assert list(variations(analysis, random.Random(5))) == list(variations(analysis, random.Random(5)))
