"""What a report is taken to say. Each case was written for this test; the words on the right are what a radiologist
would underline."""

import pytest

from reeval.synth.analysis import analyse
from reeval.synth.mentions import ABSENT, DOUBTFUL, PRESENT, UNCLEAR

# Text, and for each mention: its words with all that belongs to them, polarity, slots.
CASES = [
    (
        "Small right-sided pleural effusion, unchanged.",
        [("Small right-sided pleural effusion, unchanged", PRESENT, "degree=small side=right change=stable")],
    ),
    (
        "There is a calcified granuloma in the left apex measuring 4 mm.",
        [("calcified granuloma in the left apex measuring 4 mm", PRESENT, "side=left place=apex size=4 mm")],
    ),
    (
        "No focal consolidation, pleural effusion, or pneumothorax.",
        [("focal consolidation", ABSENT, ""), ("pleural effusion", ABSENT, ""), ("pneumothorax", ABSENT, "")],
    ),
    (
        "The lungs are clear without effusion or edema.",
        [("effusion", ABSENT, ""), ("edema", ABSENT, "")],
    ),
    ("No large effusion.", [("large effusion", ABSENT, "degree=large")]),
    ("No change in the left effusion.", [("left effusion", PRESENT, "side=left")]),
    ("Bibasilar atelectasis.", [("Bibasilar atelectasis", PRESENT, "place=base side=both")]),
    (
        "Right basilar opacity, which may represent pneumonia.",
        [("Right basilar opacity", PRESENT, "side=right place=base"), ("pneumonia", DOUBTFUL, "")],
    ),
    (
        "Possible small left effusion.",
        [("Possible small left effusion", DOUBTFUL, "certainty=possible degree=small side=left")],
    ),
    (
        "No pneumothorax but a small effusion.",
        [("pneumothorax", ABSENT, ""), ("small effusion", UNCLEAR, "degree=small")],
    ),
    ("Effusion has resolved.", [("Effusion has resolved", UNCLEAR, "change=resolved")]),
    ("Two nodules in the right lung.", [("Two nodules in the right lung", PRESENT, "count=two side=right place=lung")]),
    (
        "A 1.5 cm nodule at the right apex.",
        [("1.5 cm nodule at the right apex", PRESENT, "size=1.5 cm side=right place=apex")],
    ),
    ("The heart is mildly enlarged.", [("heart is mildly enlarged", PRESENT, "degree=small")]),
    ("The heart is not enlarged.", []),
    ("Left-sided PICC with tip in the SVC.", [("Left-sided PICC", PRESENT, "side=left")]),
    ("INDICATION: Effusion. FINDINGS: Edema.", [("Effusion", UNCLEAR, ""), ("Edema", PRESENT, "")]),
    (
        "Left costophrenic blunting. A 2 cm diameter nodule.",
        [
            ("Left costophrenic blunting", PRESENT, "side=left place=costophrenic"),
            ("2 cm diameter nodule", PRESENT, "size=2 cm"),
        ],
    ),
    ("Scattered scars.", [("Scattered scars", PRESENT, "")]),
    ("Bone density is decreased. Normal interstitial markings.", []),
    (
        "Interstitial markings are mildly increased.",
        [("Interstitial markings are mildly increased", PRESENT, "degree=small")],
    ),
    ("This does not appear to be an empyema.", [("empyema", UNCLEAR, "")]),
    ("Evaluation of pneumothorax is limited.", [("pneumothorax", UNCLEAR, "")]),
    ("Cardiac silhouette is significantly enlarged.", [("Cardiac silhouette is significantly enlarged", PRESENT, "")]),
    ("The mediastinum is widened.", [("mediastinum is widened", PRESENT, "")]),
    ("Aortic arch is calcified.", [("Aortic arch is calcified", PRESENT, "")]),
    (
        "Left IJ central line. Right subclavian line.",
        [("Left IJ central line", PRESENT, "side=left"), ("Right subclavian line", PRESENT, "side=right")],
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text[:40] for text, _ in CASES])
def test_mentions(text, expected):
    found = analyse(text).mentions
    words = [
        (text[m.low : m.high], m.polarity, " ".join(f"{slot.name}={slot.value}" for slot in m.slots)) for m in found
    ]
    assert words == expected
    for mention in found:
        for slot in mention.slots:
            assert mention.low <= slot.start < slot.end <= mention.high


def test_a_phrase_that_hangs_on_its_neighbour_says_so():
    (mention,) = analyse("Right upper and left lower lobe opacities.").mentions
    assert mention.coordinated
    (mention,) = analyse("Cardiomegaly and left lower lobe opacities.").mentions[1:]
    assert not mention.coordinated


def test_a_site_told_first_keeps_its_finding_as_it_is():
    (mention,) = analyse("In the left midlung zone there is a nodule.").mentions
    assert mention.coordinated


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Calcified 5 mm nodule.", "calcified_nodule"),
        ("Calcified right midlung nodule.", "calcified_nodule"),
        ("Partially calcified right nodule.", "nodule"),
        ("Non-calcified right nodule.", "nodule"),
        ("Calcified granuloma and right nodule.", "nodule"),
        ("Multiple healed left rib fractures.", "old_fracture"),
        ("Old right 6th rib fracture.", "old_fracture"),
        ("Right rib fracture.", "rib_fracture"),
        ("Right thyroid mass.", "neck_mass"),
        ("Right paratracheal mass.", "mediastinal_mass"),
        ("Left costophrenic angle blunting.", "blunting"),
    ],
)
def test_words_before_a_name_that_change_what_it_is(text, name):
    assert analyse(text).mentions[-1].finding.name == name


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Heart size is enlarged, stable.", []),
        ("The mediastinum is prominent but unchanged.", []),
        ("The heart is not enlarged.", ["heart"]),
        ("The heart size remains within normal limits.", ["heart"]),
        ("Mediastinal contours are stable.", ["mediastinum"]),
    ],
)
def test_what_is_abnormal_and_stable_is_not_normal(text, names):
    assert [name for normal in analyse(text).normals for name in normal.names] == names


def test_mentions_of_one_finding_are_one_instance():
    analysis = analyse(
        "FINDINGS: There is a small left effusion. It is unchanged. No pneumothorax.\n\n"
        "IMPRESSION: Small left effusion."
    )
    (instance,) = analysis.instances
    assert (instance.concept, instance.side, instance.safe, instance.denied) == (
        "pleural_effusion",
        "left",
        True,
        False,
    )
    assert instance.sentences == (0, 3) and instance.follow_ups == (1,)


def test_findings_of_two_sides_are_two_instances():
    instances = analyse("Large left effusion. Small right effusion.").instances
    assert [(i.side, i.safe) for i in instances] == [("left", True), ("right", True)]


@pytest.mark.parametrize(
    "text",
    [
        "Bilateral effusions. Left effusion has grown.",  # one of two, or another one?
        "Upper lobe granuloma. Granuloma at the base.",  # two of them
        "Small effusion. Effusion has resolved.",
        "Nodule. Nodule.",
    ],
)
def test_what_could_be_two_things_is_not_safe(text):
    assert not any(instance.safe for instance in analyse(text).instances)


def test_statements_of_normality():
    analysis = analyse(
        "Heart size is normal. The lungs are clear without effusion. No acute disease. The XXXX is clear."
    )
    assert [(n.sentence, n.names, n.whole) for n in analysis.normals] == [
        (0, ("heart",), True),
        (1, ("lungs",), False),
        (2, ("whole study",), True),
    ]
    (effusion,) = analysis.mentions
    assert [n.rules_out(effusion.finding) for n in analysis.normals] == [False, False, True]
