"""Generated reference reports: reproducible, coherent, grammatical, varied, and three splits that differ truly."""

import collections
import hashlib
import itertools
import json
import re
import subprocess
import sys

import pytest

from reeval.synth.english import indefinite, series
from reeval.synth.generator import SPLITS, __main__, banks, reports
from reeval.synth.generator.grammar import Template, adverb

COUNT = 3000
# sha256 of the file that this makes, for each split:
# python -m reeval.synth.generator --split=SPLIT --count=200 --seed=0 --out=reports.jsonl && sha256sum reports.jsonl
GOLDEN = {
    "pretrain": "a1e4dc66d16f9817eedb17fc44a204a04a428dbc4357e7cb833e6fd67b59ff33",
    "train": "ae46cdac9a1ab8e485d27ece9ec6f6fe4f65d6caf5bce6029cace6001978c1b2",
    "heldout": "70496fd9f31d9352a57b6bf9d3ea32738b0687c058249a937020f53ec0e51e63",
}
HEADING = re.compile(
    r"^(FINDINGS|IMPRESSION|CONCLUSION|INDICATION|TECHNIQUE|COMPARISON):", re.IGNORECASE | re.MULTILINE
)
LEFT_RIGHT = re.compile(r"\b(left|right)", re.IGNORECASE)


@pytest.fixture(scope="module", params=SPLITS)
def split(request):
    return request.param


@pytest.fixture(scope="module")
def made(split):
    return list(reports(split, COUNT, 1))


@pytest.fixture(scope="module")
def short(split):
    return list(reports(split, COUNT, 1, sentences=(2, 4)))


def sentences(text):
    """The sentences of a report, without headings, labels and numbers of lists."""
    text = re.sub(r"^(?:- |\d[.)] |[A-Z][A-Za-z ]+: ?)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=[.]) \d[.)] ", " ", text)
    text = re.sub(r"\bDr\. ", "Dr ", text, flags=re.IGNORECASE)
    joined = re.sub(r"(?<![.:])\n(?=\S)", " ", text)
    return [part.strip() for part in re.split(r"(?<=\.)\s+", joined) if part.strip()]


def present(report):
    return [finding for finding in report.study["findings"] if finding["change"] != "resolved"]


def kinds(report):
    return {finding["kind"] for finding in present(report)}


def section(report, *names):
    """The text under one of the headings; None if there is none."""
    parts = re.split(r"^(\w+):", report.text, flags=re.MULTILINE)
    for heading, words in zip(parts[1::2], parts[2::2], strict=True):
        if heading.upper() in names:
            return words
    return None


# Reproducible.


def test_a_report_depends_on_split_seed_and_number_alone(split):
    few, many = list(reports(split, 20, 5)), list(reports(split, 60, 5))
    assert few == many[:20]
    assert few != list(reports(split, 20, 6))


def test_the_first_reports_are_those_of_every_machine(split, tmp_path):
    out = tmp_path / "reports.jsonl"
    assert main(f"--split={split}", "--count=200", "--seed=0", f"--out={out}").returncode == 0
    assert hashlib.sha256(out.read_bytes()).hexdigest() == GOLDEN[split]


def test_ids_differ_and_records_are_json(made):
    assert len({report.reference_id for report in made}) == COUNT
    assert all(json.loads(json.dumps(report.study)) == report.study for report in made[:200])


# The splits.


def test_no_two_splits_share_a_phrase():
    texts = {
        split: {re.sub(r"\W+", " ", template.text.lower()).strip() for kind in bank.values() for template in kind}
        for split, bank in ((split, banks.phrases(split)) for split in SPLITS)
    }
    for one, other in itertools.combinations(SPLITS, 2):
        assert not texts[one] & texts[other]


def test_no_two_splits_share_a_sentence():
    said = {
        split: {s.lower() for report in reports(split, COUNT, 1) for s in sentences(report.text)} for split in SPLITS
    }
    for one, other in itertools.permutations(SPLITS, 2):
        shared = said[one] & said[other]
        assert len(shared) <= 0.001 * len(said[one]), sorted(shared)[:5]


@pytest.mark.parametrize("limits", [None, (2, 4)])
@pytest.mark.parametrize("other", ["train", "pretrain"])
def test_no_held_out_report_is_nearly_one_of_another_split(other, limits):
    def words(report):
        return frozenset(re.findall(r"[a-z0-9.]+", report.text.lower()))

    known = {words(report) for report in reports(other, 2000, 0, sentences=limits)}
    near = 0
    for report in reports("heldout", 300, 0, sentences=limits):
        mine = words(report)
        near += any(len(mine & theirs) >= 0.7 * len(mine | theirs) for theirs in known)
    assert near <= 2


def test_held_out_reports_hold_what_others_lack():
    seen = {
        split: {
            "style": {report.study["style"]["name"] for report in reports(split, COUNT, 1)},
            "kind": {finding["kind"] for report in reports(split, COUNT, 1) for finding in report.study["findings"]},
            "degree": {
                (finding["kind"], finding["degree"])
                for report in reports(split, COUNT, 1)
                for finding in report.study["findings"]
            },
        }
        for split in SPLITS
    }
    for what, least in (("style", 2), ("kind", 3), ("degree", 10)):
        assert len(seen["heldout"][what] - seen["train"][what] - seen["pretrain"][what]) >= least, what


# Coherence.

DENIAL = re.compile(r"\b(no|not|negative|without|free of|neither|absence)\b")
NO_DENIAL = re.compile(
    r"\bno (longer|change|interval|new|newly|other|additional|further)\b"
    r"|\bnot (changed|excluded|moved|present|seen (on|previously|before)|evident on)|without significant interval"
)
NAMES = {
    "effusion": ("effusion",),
    "pneumothorax": ("pneumothorax",),
    "consolidation": ("consolidation", "airspace disease", "infiltrate"),
    "opacity": ("consolidation", "airspace disease", "infiltrate"),
    "pneumonia": ("consolidation", "pneumonia", "airspace disease"),
    "edema": ("edema", "congestion"),
    "congestion": ("congestion",),
    "nodule": ("nodule", "lung mass"),
    "mass": ("lung mass", "nodule"),
    "free_air": ("free air", "free intraperitoneal", "pneumoperitoneum"),
    "rib_fracture": ("fracture",),
    "compression_deformity": ("fracture",),
}  # fmt: skip
NORMAL = {
    "lungs": r"(?<!otherwise )(?<!remaining )\blungs (are|appear) (grossly |well expanded and )?clear|^clear lungs",
    "heart": r"heart size is normal|heart is normal in size|normal heart size|not enlarged|normal cardiomediastinal",
    "bones": r"(bones|osseous structures|bony structures|skeletal structures) are (intact|unremarkable|normal)",
    "mediastinum": r"normal cardiomediastinal|mediastin(al contours are|um is) (normal|unremarkable)",
}


def test_nothing_is_both_there_and_denied(made, short):
    denials = 0
    for report in itertools.chain(made, short):
        barred = {name for kind in kinds(report) for name in NAMES.get(kind, ())}
        for sentence in sentences(report.text.lower()):
            if DENIAL.search(sentence) and not NO_DENIAL.search(sentence):
                denials += 1
                assert not any(name in sentence for name in barred), (report.reference_id, sentence)
    assert denials > COUNT


def test_no_organ_is_both_normal_and_diseased(made, short):
    entries = banks.catalogue("findings")["findings"]
    for report in itertools.chain(made, short):
        denied = {key for finding in present(report) for key in entries[finding["kind"]]["denies"]}
        for normal in report.study["normal"]:
            assert not denied & set(normal["claims"]), (report.reference_id, normal)
        for sentence in sentences(report.text.lower()):
            for key in denied & set(NORMAL):
                assert not re.search(NORMAL[key], sentence), (report.reference_id, sentence)


def test_a_report_of_one_sided_disease_speaks_of_that_side_alone(made, short):
    checked = 0
    for report in itertools.chain(made, short):
        found = report.study["findings"]
        sides = {finding["side"] for finding in found if finding["side"]}
        unsided = (
            any(f["place"] in ("vertebra", "lingula", "middle_lobe", "retrocardiac") for f in found)
            or "turn" in report.text
        )
        fixed = {"mediastinal_shift", "eventration"} & {finding["kind"] for finding in found}
        plain = not report.study["devices"] and len(sides) == 1 and not fixed and not unsided
        if plain and sides <= {"left", "right"}:
            [side] = sides
            other = {"left": "right", "right": "left"}[side]
            clear = any(normal["kind"] == "other_lung" for normal in report.study["normal"])
            said = [
                match[0].lower()
                for s in sentences(report.text)
                if not re.search("rotat|turned", s.lower())
                for match in LEFT_RIGHT.finditer(s)
            ]
            assert said.count(other) <= clear, report.reference_id
            assert side in said, report.reference_id
            checked += 1
    assert checked > COUNT / 10


def test_the_impression_names_what_matters(made):
    entries = banks.catalogue("findings")["findings"]
    checked = 0
    for report in made:
        impression = section(report, "IMPRESSION", "CONCLUSION")
        if impression is None or report.study["style"]["name"] == "impression_only":
            continue
        for finding in report.study["findings"]:
            entry = entries[finding["kind"]]
            if entry["level"] != "benign":
                names = [*entry["nouns"], *entry.get("plurals", ()), *entry.get("as_noun", ())]
                assert any(name.lower() in " ".join(impression.lower().split()) for name in names), report.reference_id
                checked += 1
    assert checked > COUNT / 5


def test_only_a_study_with_a_prior_is_compared(made):
    words = re.compile(
        r"unchanged|\bstable|interval|previous|\bprior (study|exam|radiograph|chest film)|worsen|\bnew\b|has increased"
        r"|since|as before"
    )
    excused = re.compile(r"no prior|prior (granulomatous|asbestos)|short-interval|interval change\.$|continued")
    compared = 0
    for report in made:
        said = [s for s in sentences(report.text.lower()) if words.search(s) and not excused.search(s)]
        assert report.study["prior"] or not said, (report.reference_id, said)
        compared += bool(said)
    assert compared > COUNT / 10


def test_tension_pushes_the_mediastinum_to_the_other_side():
    tense = [report for report in reports("train", 3 * COUNT, 1) if report.study["scenario"] == "tension"]
    assert len(tense) > 20
    for report in tense:
        found = {finding["kind"]: finding for finding in report.study["findings"]}
        assert found["pneumothorax"]["degree"] == "large"
        assert {found["pneumothorax"]["side"], found["mediastinal_shift"]["side"]} == {"left", "right"}


def test_devices_suit_the_patient(made):
    tubes = 0
    for report in made:
        devices = {device["kind"]: device for device in report.study["devices"]}
        assert len(devices) == len(report.study["devices"])
        assert not {"ett", "tracheostomy"} <= set(devices) and not {"ng", "dobhoff"} <= set(devices)
        tip = devices.get("ett", {}).get("tip", "")
        if match := re.search(r"([\d.]+) cm above the carina", tip):
            assert (2.5 <= float(match[1]) <= 7.5) != devices["ett"]["wrong"]
            tubes += 1
        drained = {f["side"] for f in report.study["findings"] if f["kind"] in ("pneumothorax", "effusion")}
        if "chest_tube" in devices and len(drained) == 1 and drained <= {"left", "right"}:
            assert devices["chest_tube"]["side"] in drained
        for device in devices.values():
            assert device["name"].lower() in " ".join(report.text.lower().split()), report.reference_id
    assert tubes > 20


def test_sizes_suit_their_finding(made):
    sized = collections.Counter()
    for report in made:
        for finding in report.study["findings"]:
            if finding["size"]:
                number, unit = re.fullmatch(r"([\d.]+)(?: x [\d.]+)? (mm|cm)", finding["size"]).groups()
                millimetres = float(number) * (10 if unit == "cm" else 1)
                sized[finding["kind"]] += 1
                assert finding["size"].lower() in " ".join(report.text.lower().split())
                assert (millimetres > 30) == (finding["kind"] == "mass") or finding["kind"] in (
                    "pneumothorax",
                    "cavity",
                )
    assert sized["nodule"] > 30 and sized["mass"] > 10 and sized["granuloma"] > 3


def test_a_curvature_keeps_its_direction(made):
    curved = [report.text.lower() for report in made if "scoliosis" in kinds(report)]
    assert len(curved) > 20 and not any("dextroscoliosis" in text and "levoscoliosis" in text for text in curved)


# Grammar.

MANY = "effusions|opacities|nodules|fractures|changes|plaques|markings|wires|clips|volumes|osteophytes|infiltrates"
ONE = "effusion|opacity|nodule|fracture|atelectasis|edema|cardiomegaly|mass|pneumothorax|granuloma|scarring"
MISTAKES = [
    r"[{}]",
    r"\ba [aeio]\w",
    r"\ban (?!(x|8|11|18|[AEFHILMNORSX][A-Z]+\b))[^aeiouAEIOU]",
    r"\.\.",
    r" [.,;]",
    r",[.,]",
    r"\b(\w+) \1\b",
    r"\b(left|right|bilateral)-?\w* (left|right|bilateral)\b",
    rf"\b({MANY}) (is|was|has|remains|measures)\b",
    rf"\b({ONE}) (are|were|have|remain|measure)\b",
    r"\b(this|it) (are|have|were|measure|represent)\b|\b(these|they) (is|has|was|measures|represents)\b",
    r"\b(a|an) \w+ (effusions|opacities|nodules|fractures|changes|granulomas)\b",
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_report_holds_a_mistake(made, short, mistake):
    pattern = re.compile(mistake, re.IGNORECASE if "[A-Z]" not in mistake else 0)
    for report in itertools.chain(made, short):
        for line in report.text.split("\n"):
            found = pattern.search(line)
            assert found is None, (report.reference_id, line)


def test_spaces_and_capitals(made, short):
    for report in itertools.chain(made, short):
        text = report.text
        assert text == text.strip() and not re.search(r" $", text, re.MULTILINE)
        if report.study["style"]["gap"] == " ":
            assert "  " not in text, report.reference_id
        if report.study["style"]["capitals"]:
            assert text == text.upper()
        for sentence in sentences(text):
            assert sentence[0].isupper() or sentence[0].isdigit() or sentence[0] == "_", (report.reference_id, sentence)
            assert sentence.endswith("."), (report.reference_id, sentence)


def test_articles_adverbs_and_series():
    for words in ("opacity", "8 mm", "18", "80", "11 mm", "ICD", "NG tube"):
        assert indefinite(words) == "an"
    for words in ("1.1 cm", "PICC", "unilateral", "small", "one-sided"):
        assert indefinite(words) == "a"
    assert adverb("mild to moderate") == "mildly to moderately" and adverb("patchy") is None
    assert series(["a"], "or", True) == "a" and series(["a", "b"], "or", True) == "a or b"
    assert series("abc", "or", True) == "a, b, or c" and series("abc", "or", False) == "a, b or c"
    assert Template.parse("{a np} is {at}.").fill(str.upper) == "A NP is AT."


# Variety.


def test_reports_vary(made, short):
    assert len({report.text for report in made}) >= 0.995 * COUNT
    assert len({report.text for report in short}) >= 0.97 * COUNT
    healthy = sum(not report.study["findings"] and not report.study["devices"] for report in made) / COUNT
    assert 0.25 <= healthy <= 0.36
    lengths = sorted(len(sentences(report.text)) for report in made)
    assert lengths[0] <= 2 and 6 <= lengths[COUNT // 2] <= 10 and lengths[-1] >= 15
    assert len({report.study["style"]["name"] for report in made}) >= 5
    for feature in ("capitals", "mask", "width"):
        assert sum(bool(report.study["style"][feature]) for report in made) >= 0.02 * COUNT


def test_every_finding_and_device_occurs(split):
    counts = collections.Counter(
        item["kind"]
        for report in reports(split, 2 * COUNT, 2)
        for item in report.study["findings"] + report.study["devices"]
    )
    entries = {**banks.catalogue("findings")["findings"], **banks.catalogue("devices")}
    wanted = {kind for kind, entry in entries.items() if entry.get("only", split) == split}
    assert set(counts) == wanted
    assert min(counts.values()) >= 3


# Length.


@pytest.mark.parametrize("limits", [(1, 1), (2, 2), (2, 4), (6, 9), (5, 16)])
def test_a_limit_holds(split, limits):
    low, high = limits
    found = 0
    for report in reports(split, 500, 3, sentences=limits):
        assert low <= len(sentences(report.text)) <= high, report.text
        assert not HEADING.search(report.text)
        found += bool(report.study["findings"])
    assert found > 250


# Bad input.


def main(*args):
    return subprocess.run(
        [sys.executable, "-m", __main__.__package__, *args], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--split=test", "--count=2"], "heldout"),
        (["--count=2"], "--split"),
        (["--split=train", "--count=two"], "--count"),
        (["--split=train", "--count=-2"], "negative"),
        (["--split=train", "--count=2", "--seed=-1"], "negative"),
        (["--split=train", "--count=2", "--sentences=4"], "2-4"),
        (["--split=train", "--count=2", "--sentences=4-2"], "minimum"),
        (["--split=train", "--count=2", "--sentences=0-2"], "minimum"),
        (["--split=train", "--count=2", "--sentences=9-12"], "minimum"),
        (["--split=train", "--count=2", "--out=nowhere/reports.jsonl"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(args, word, tmp_path):
    out = [] if any(arg.startswith("--out") for arg in args) else [f"--out={tmp_path / 'reports.jsonl'}"]
    ran = main(*args, *out)
    assert ran.returncode == 2 and word in ran.stderr and ran.stderr.count("\n") == 1
    assert not (tmp_path / "reports.jsonl").exists()


def test_the_command_writes_what_a_reader_of_reports_takes(tmp_path):
    out = tmp_path / "reports.jsonl"
    assert main("--split=train", "--count=3", "--sentences=2-4", f"--out={out}").returncode == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    wanted = list(reports("train", 3, 0, sentences=(2, 4)))
    assert rows == [{"study_id": report.reference_id, "report": report.text} for report in wanted]
