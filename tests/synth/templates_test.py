"""Template pairs: valid records, reproducible, balanced, and three families that share no sentence."""

import collections
import itertools
import json
import random
import re
import subprocess
import sys

import pytest

from reeval import pairs, taxonomy
from reeval.synth import phrases, scramble, templates
from reeval.synth.sentences import weight, write

COUNT = 3000


@pytest.fixture(scope="module", params=[*phrases.FAMILIES, "scrambled"])
def made(request):
    scrambled = request.param == "scrambled"
    return list(scramble.pairs(COUNT, 0) if scrambled else templates.pairs(request.param, COUNT, 0))


def test_every_span_stands_in_its_report(made, tmp_path):
    pairs.write(tmp_path / "pairs.jsonl", made)
    assert pairs.read(tmp_path / "pairs.jsonl", labelled=True) == made


def test_places_say_where_the_errors_stand(made):
    for pair in made:
        places = pair.metadata["places"]
        for error, (start, end) in zip(pair.errors, places, strict=True):
            assert pair.candidate[start:end] == error.candidate_span
        kept = [place for error, place in zip(pair.errors, places, strict=True) if error.candidate_span]
        assert kept == sorted(kept) and len({tuple(place) for place in kept}) == len(kept)


def test_no_edit_leaves_the_text_as_it_is_and_an_edit_does_not(made):
    for pair in made:
        assert (pair.reference == pair.candidate) == (not pair.errors) == pair.identical


def test_one_significant_and_one_insignificant_candidate_a_reference(made):
    for first, second in zip(made[::2], made[1::2], strict=True):
        assert first.reference_id == second.reference_id and first.reference == second.reference
        assert first.significant != second.significant
    assert len({pair.reference_id for pair in made}) == COUNT // 2


def test_losses_come_last(made):
    for pair in made:
        losses = [not error.candidate_span for error in pair.errors]
        assert losses == sorted(losses)


def test_the_kind_of_an_edit_does_not_give_its_severity_away(made):
    counts = collections.Counter((e.aspect, e.type, e.severity) for pair in made for e in pair.errors)
    both = set()
    for aspect, kind in {(aspect, kind) for aspect, kind, _ in counts}:
        number = [counts[aspect, kind, severity] for severity in taxonomy.SEVERITIES]
        if aspect == "wording":
            assert number[0] == 0
        elif sum(number) > 150:
            assert 0.3 < number[0] / sum(number) < 0.75, (aspect, kind)
            both.add((aspect, kind))
    assert {aspect for aspect, _, _ in counts} == set(taxonomy.ASPECTS)
    carrying = sum(any((e.aspect, e.type) in both for e in pair.errors) for pair in made)
    assert carrying >= 0.6 * COUNT


def test_identical_pairs_are_a_modest_share(made):
    insignificant = [pair for pair in made if not pair.significant]
    assert 0.12 < sum(pair.identical for pair in insignificant) / len(insignificant) < 0.18


def test_pairs_are_the_same_in_any_portion_and_in_another_process(tmp_path):
    whole = [json.dumps(pairs.to_json(pair)) for pair in templates.pairs("b", 60, 7)]
    part = [json.dumps(pairs.to_json(pair)) for pair in templates.pairs("b", 20, 7, start=31)]
    assert whole[31:51] == part
    out = tmp_path / "pairs.jsonl"
    flags = ["--family", "b", "--count", "60", "--seed", "7", "--out", out]
    subprocess.run([sys.executable, "-m", "reeval.synth", *flags], check=True)
    assert [json.dumps(json.loads(line)) for line in out.read_text().splitlines()] == whole
    assert whole != [json.dumps(pairs.to_json(pair)) for pair in templates.pairs("b", 60, 8)]


def test_families_share_no_skeleton_no_synonym_and_no_report():
    books = [phrases.family(name) for name in phrases.FAMILIES]
    for one, other in itertools.combinations(books, 2):
        skeletons = [
            {re.sub(r"\{\w+\}", "{}", t.text).lower() for group in book.templates.values() for t in group}
            for book in (one, other)
        ]
        assert not skeletons[0] & skeletons[1]
        banks = [{word for bank in book.words.values() for word in bank} for book in (one, other)]
        assert not banks[0] & banks[1]
    reports = [{pair.reference for pair in templates.pairs(name, COUNT, 0)} for name in phrases.FAMILIES]
    sentences = [{s for report in group for s in report.split(". ")} for group in reports]
    for one, other in itertools.combinations(range(len(books)), 2):
        assert not reports[one] & reports[other]
        assert not sentences[one] & sentences[other]


def test_every_template_of_a_kind_has_the_same_clinical_slots():
    for name in phrases.FAMILIES:
        for kind, group in phrases.family(name).templates.items():
            assert len({tuple(sorted(template.clinical)) for template in group}) == 1, (name, kind)
            assert len(group) > 2


def test_articles_agree():
    for name in phrases.FAMILIES:
        for pair in templates.pairs(name, COUNT, 0):
            assert not re.search(r"\ba [aeiou]|  | \.", pair.candidate, re.IGNORECASE), pair.candidate


@pytest.mark.parametrize(
    ("kind", "values", "severity"),
    [
        ("pleural", {"finding": "pneumothorax", "degree": "tiny"}, "significant"),
        ("pleural", {"finding": "pleural effusion", "degree": "trace"}, "insignificant"),
        ("pleural", {"finding": "pleural effusion", "degree": "large"}, "significant"),
        ("pleural", {"finding": "pleural effusion", "degree": "small"}, None),
        ("benign", {"finding": "calcified granuloma"}, "insignificant"),
        ("device", {"device": "chest tube", "position": "in the chest wall"}, "significant"),
        ("device", {"device": "chest tube", "position": "in the pleural space"}, "insignificant"),
        ("comparison", {"finding": "nodule", "change": "has worsened"}, "significant"),
        ("comparison", {"finding": "nodule", "change": "is stable"}, "insignificant"),
        ("recommendation", {"action": "clinical correlation"}, "insignificant"),
    ],
)
def test_weight_of_a_sentence(kind, values, severity):
    sentence = write(random.Random(0), phrases.family("b"), kind, values.get("finding", ""))
    sentence.values = {**sentence.values, **values}
    assert weight(sentence) == severity


def test_sizes_keep_clear_of_the_limits():
    for size, (far, near) in phrases.lexicon().slots["size"].swaps.items():
        mm = int(size.split()[0])
        limit = 2 if mm < 6 else 4
        assert all(abs(int(other.split()[0]) - mm) > limit for other in far)
        assert all(abs(int(other.split()[0]) - mm) <= limit for other in near)
        assert far and near


def test_an_unknown_family_is_named():
    with pytest.raises(ValueError, match="'z' is not one of a, b, c"):
        next(templates.pairs("z", 1, 0))
