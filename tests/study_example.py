"""An invented study: pairs, and what evaluators of every kind said of them, drawn at random.

    pairs, judged = made()
    comparison = compare(pairs, judged, kinds=KINDS, signatures=signatures(judged))

SECRET stands in every report, span and answer, and must come out nowhere.
"""

import random
from collections.abc import Mapping, Sequence

from reeval.judgements import Judgement
from reeval.pairs import Error, Pair
from reeval.taxonomy import ASPECTS, TYPES

SECRET = "Zyxwort"
KINDS = {"judge": "judge", "green": "stored", "labels": "endpoint", "bleu": "scalar"}
RATERS = ("r1", "r2", "r3")
_SPAN = f"{SECRET} basilar shadow"


def made(
    references: int = 12, *, candidates: int = 5, seed: int = 0, judges: Sequence[str] = ("judge",)
) -> tuple[list[Pair], dict[str, dict[str, list[Judgement]]]]:
    """Pairs with errors of every aspect and type, levels and ratings; evaluators by name and mode.

    "judge" (and others named in `judges`) names errors in both modes with probabilities, and some answers are not
    parsed; "green" names errors without aspects and spans, in one pass; "labels" has labels alone; "bleu" is a scalar.
    """
    rng = random.Random(seed)
    pairs = [_pair(rng, f"s{r}", c) for r in range(references) for c in range(candidates)]
    judged: dict[str, dict[str, list[Judgement]]] = {
        name: {
            mode: [_judge(rng, pair, skill=0.75 + 0.03 * i, passes=passes) for pair in pairs]
            for passes, mode in enumerate(("one_pass", "two_pass"), start=1)
        }
        for i, name in enumerate(judges)
    }
    judged["green"] = {"one_pass": [_green(rng, pair) for pair in pairs]}
    judged["labels"] = {
        "one_pass": [Judgement(pair.pair_id, "ok", (SECRET,), significant=rng.random() < 0.5) for pair in pairs]
    }
    judged["bleu"] = {
        "scalar": [
            Judgement(pair.pair_id, "ok", score=round(rng.gauss(0.6 - 0.1 * len(pair.errors or ()), 0.1), 2))
            for pair in pairs
        ]
    }
    return pairs, judged


def signatures(judged: Mapping[str, Mapping[str, Sequence[Judgement]]]) -> dict[str, dict[str, str]]:
    return {name: {mode: f"{name}|{mode}" for mode in modes} for name, modes in judged.items()}


def kinds(judged: Mapping[str, Mapping[str, Sequence[Judgement]]]) -> dict[str, str]:
    return {name: KINDS.get(name, "judge") for name in judged}


def _pair(rng: random.Random, reference: str, candidate: int) -> Pair:
    errors = []
    for i in range(candidate):
        severity = "significant" if i % 2 else "insignificant"
        errors.append(Error(rng.choice(TYPES), rng.choice(ASPECTS), f"{_SPAN} {i}", f"{_SPAN} {i}", severity))
    text = f"{SECRET} lungs. " + " ".join(f"{_SPAN} {i}" for i in range(6)) + " word" * rng.randrange(40)
    significant = sum(error.significant for error in errors)
    ratings = {
        rater: {
            "significant": max(0, significant + rng.choice((-1, 0, 0, 1))),
            "insignificant": max(0, len(errors) - significant + rng.choice((0, 0, 1))),
        }
        for rater in RATERS
    }
    same = candidate == 0
    return Pair(
        f"{reference}-{candidate}",
        reference,
        text,
        text if same else f"{text} {candidate}",
        tuple(errors),
        {"level": candidate, "ratings": ratings},
    )


def _judge(rng: random.Random, pair: Pair, *, skill: float, passes: int) -> Judgement:
    used = {
        "input_tokens": 500 * passes,
        "output_tokens": 20 + 30 * passes,
        "seconds": 0.25 * passes,
        "cost": 0.001 * passes,
    }
    if rng.random() < 0.04:
        return Judgement(pair.pair_id, f"pass 1: it says {_SPAN} there", (SECRET,) * passes, **used)
    found = []
    for error in pair.errors or ():
        if rng.random() < skill:
            flips = rng.random() < 0.2
            severity = "insignificant" if flips == error.significant else "significant"
            found.append(Error(error.type, error.aspect, error.reference_span, error.candidate_span, severity))
    significant = any(error.significant for error in found)
    probability = rng.betavariate(5, 2) if significant else rng.betavariate(1, 4)
    repairs = {"code fence": 1} if rng.random() < 0.1 else {}
    status = "repaired" if repairs else "ok"
    return Judgement(
        pair.pair_id, status, (SECRET,) * passes, repairs, tuple(found), significant, round(probability, 3), **used
    )


def _green(rng: random.Random, pair: Pair) -> Judgement:
    found = tuple(Error("inaccuracy", "", severity="significant") for error in pair.errors or () if rng.random() < 0.6)
    return Judgement(pair.pair_id, "ok", (f"{SECRET} 1. (a)",), {}, found, bool(found))
