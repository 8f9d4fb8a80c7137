"""The comparison of an invented study."""

import json
import random

import pytest
from study_example import KINDS, SECRET, made, signatures

from reeval.judgements import Judgement
from reeval.study.compare import compare

FEW = {"resamples": 99, "permutations": 99}


def compared(pairs, judged, **more):
    kinds = {name: KINDS.get(name, "judge") for name in judged}
    return compare(pairs, judged, kinds=kinds, signatures=signatures(judged), **(FEW | more))


@pytest.fixture(scope="module")
def study():
    return made()


@pytest.fixture(scope="module")
def comparison(study):
    return compared(*study)


def test_is_plain_json_without_report_text(comparison):
    text = json.dumps(comparison, allow_nan=False)
    assert json.loads(text) == comparison
    assert SECRET.casefold() not in text.casefold() and "basilar" not in text


def test_the_order_of_pairs_and_judgements_makes_no_difference(study, comparison):
    pairs, judged = study
    rng = random.Random(5)

    def shuffled(rows):
        return rng.sample(list(rows), len(rows))

    again = compared(
        shuffled(pairs),
        {name: {mode: shuffled(rows) for mode, rows in modes.items()} for name, modes in judged.items()},
    )
    assert again == comparison


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[1:], "judge one_pass: 1 of 60 pairs are not judged, the first is 's0-0'"),
        (lambda rows: [*rows, rows[0]], "judge one_pass: 1 pairs are judged twice"),
        (
            lambda rows: [*rows, Judgement("z", "ok")],
            "judge one_pass: 1 judgements are of other pairs, the first is of",
        ),
    ],
)
def test_each_pair_is_judged_once(study, change, says):
    pairs, judged = study
    with pytest.raises(ValueError, match=says):
        compared(pairs, {"judge": {"one_pass": change(judged["judge"]["one_pass"])}})
