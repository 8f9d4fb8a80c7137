"""Each trivial classifier finds the label where its features give it away, and finds nothing where they do not."""

import random
import sys

import pytest

from reeval.benchmarks.classifiers import balanced_accuracies
from reeval.pairs import Error, Pair

WORDS = [f"word{i}" for i in range(40)]


def pairs(n=400, *, give_away=None, seed=0, of_one_reference=2):
    """Random reports, some words replaced; `give_away` changes the candidate of significant pairs."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        significant = rng.random() < 0.5
        reference = rng.choices(WORDS, k=rng.randint(10, 30))
        candidate = list(reference)
        for _ in range(4):
            candidate[rng.randrange(len(candidate))] = rng.choice(WORDS)
        if give_away and significant:
            give_away(rng, reference, candidate)
        severity = "significant" if significant else "insignificant"
        error = Error("inaccuracy", "finding", reference[0], candidate[0], severity)
        texts = " ".join(reference), " ".join(candidate)
        made.append(Pair(f"p{i}", f"r{i // of_one_reference}", *texts, (error,)))
    return made


def test_no_classifier_tells_what_nothing_gives_away():
    found = balanced_accuracies(pairs())
    assert list(found) == ["words of the candidate", "words of the difference", "edit distance"]
    assert all(35 < figure < 65 for figure in found.values()), found


def test_a_word_of_the_candidate_gives_the_label_away():
    found = balanced_accuracies(pairs(give_away=lambda rng, reference, candidate: candidate.append("left")))
    assert found["words of the candidate"] > 95 and found["words of the difference"] > 95


def test_a_word_that_comes_or_goes_gives_the_label_away():
    # The word stands in half of the reports of either kind: only the two reports together tell.
    rng = random.Random(1)
    made = []
    for pair in pairs():
        before = rng.random() < 0.5
        reference, candidate = (
            f"{text} left" if there else text
            for text, there in ((pair.reference, before), (pair.candidate, before != pair.significant))
        )
        made.append(Pair(pair.pair_id, pair.reference_id, reference, candidate, pair.errors))
    found = balanced_accuracies(made)
    assert found["words of the difference"] > 90, found
    assert found["words of the candidate"] < 65, found


def test_a_distance_gives_the_label_away_even_if_neither_short_nor_long_does():
    made = []
    for i, pair in enumerate(pairs(800)):
        changes = (3, 9)[i % 2] if pair.significant else (0, 6, 12)[i % 3]
        words = pair.reference.split() * 2
        candidate = [f"x{random.Random(i).random()}"] * changes + words[changes:]
        made.append(Pair(pair.pair_id, pair.reference_id, " ".join(words), " ".join(candidate), pair.errors))
    found = balanced_accuracies(made)
    assert found["edit distance"] > 90, found
    assert found["words of the candidate"] < 65, found


def test_pairs_of_one_reference_stand_on_one_side():
    # Ten copies of each pair: who has seen the copies knows the label.
    few = pairs(60, of_one_reference=1)
    copies = [
        Pair(f"{pair.pair_id}-{i}", pair.reference_id, pair.reference, pair.candidate, pair.errors)
        for pair in few
        for i in range(10)
    ]
    assert balanced_accuracies(copies)["words of the candidate"] < 70
    apart = [Pair(p.pair_id, p.pair_id, p.reference, p.candidate, p.errors) for p in copies]
    assert balanced_accuracies(apart)["words of the candidate"] > 80


def test_the_same_pairs_give_the_same_figures():
    assert balanced_accuracies(pairs(200)) == balanced_accuracies(pairs(200))


def test_what_it_needs_is_said(monkeypatch):
    with pytest.raises(ValueError, match="significant pairs of at least 20 references, not 0"):
        balanced_accuracies([pair for pair in pairs() if not pair.significant])
    with pytest.raises(ValueError, match="'p' has no errors"):
        balanced_accuracies([Pair("p", "r", "a", "b")])
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ValueError, match=r"scikit-learn: pip install 'reeval\[check\]'"):
        balanced_accuracies(pairs())
