"""A small study of three invented evaluators, with all that a page must bear: hostile text, spans that overlap, occur
twice or nowhere, an answer that could not be read, a scalar metric, pairs that have but a label.

SECRET stands in every report, span, explanation, raw answer and reason of a failure, and in nothing else.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval import pairs as pair_files
from reeval.judgements import Judgement, lines
from reeval.pairs import Error, Pair
from reeval.study.compare import compare

SECRET = "Zyxwort"
HOSTILE = (
    f'{SECRET} </script><img src=x onerror="window.hacked = 1"><!--<script>window.hacked = 2</script> \u2028 & &lt;'
)
ODD = " & <i>=#1%"  # at the end of an id
SIDE = Error(
    "inaccuracy", "laterality", f"right {SECRET} effusion", f"left {SECRET} effusion", "significant", f"{SECRET} side"
)
SIZE = Error("inaccuracy", "degree", f"small right {SECRET}", f"tiny left {SECRET}", "insignificant")
LINE = Error("omission", "device", f"{SECRET} line", "", "insignificant")
MADE_UP = Error("fabrication", "finding", "", f"{SECRET} nodule", "significant")
ASTRAY = Error("fabrication", "finding", "", f"{SECRET} is said nowhere", "significant")


def pairs(count: int = 24) -> list[Pair]:
    """In turn: errors that overlap, an omission of a word that occurs twice, a fabrication, an identical pair, hostile
    text, and one that has but a label."""
    made = []
    for i in range(count):
        reference = f"A small right {SECRET} effusion. {SECRET} line. Nothing else, number {i}. {SECRET} line."
        candidate = f"A tiny left {SECRET} effusion. {SECRET} nodule. Number {i}."
        kinds: list[tuple[str, str, tuple[Error, ...] | None]] = [
            (reference, candidate, (SIDE, SIZE)),
            (reference, candidate, (LINE, LINE)),
            (reference, candidate, (MADE_UP,)),
            (reference, reference, ()),
            (f"{HOSTILE} {reference}", f"{HOSTILE} {candidate}", (dataclasses.replace(SIDE, explanation=HOSTILE),)),
            (reference, candidate, None),
        ]
        label = "significant" if i % 12 == 5 else "insignificant"
        one, other, errors = kinds[i % 6]
        made.append(
            Pair(
                f"p{i:05}{ODD if i == 21 else ''}",
                f"s{i // 2}",
                one,
                other,
                errors,
                {"note": SECRET},
                None,
                None if i % 6 < 5 else label,
            )
        )
    return made


def judgements(given: Sequence[Pair]) -> dict[str, dict[str, list[Judgement]]]:
    """ "ours" is right but for each seventh pair, "theirs" flags everything and sometimes cannot be read."""
    modes: dict[str, list[Judgement]] = {"one_pass": [], "two_pass": []}
    theirs, bleu = [], []
    for i, pair in enumerate(given):
        for m, mode in enumerate(modes):
            errors = () if (i + m) % 7 == 0 else pair.errors or ()
            significant = (
                pair.significant != ((i + m) % 7 == 0) if pair.errors is None else any(e.significant for e in errors)
            )
            listed = None if pair.errors is None else errors
            probability = (0.6 if significant else 0.1) + i % 30 / 100
            raw = tuple([f"{SECRET} {HOSTILE}"] * (m + 1))
            modes[mode].append(
                Judgement(pair.pair_id, "ok", raw, {}, listed, significant, probability, None, 100, 10, 0.5)
            )
        if i % 5 == 4:
            theirs.append(Judgement(pair.pair_id, f"{SECRET} is no verdict", (HOSTILE,)))
        else:
            odd = Error(f"{SECRET}", f"{SECRET} aspect", HOSTILE, SECRET, "significant")
            theirs.append(Judgement(pair.pair_id, "repaired", (HOSTILE,), {"fence": 1}, (ASTRAY, odd), True))
        bleu.append(Judgement(pair.pair_id, "ok", score=0.2 if pair.significant else 0.7 + i / 1000))
    return {"ours": modes, "theirs": {"one_pass": theirs}, "bleu": {"scalar": bleu}}


def comparison(given: Sequence[Pair], judged: Mapping[str, Mapping[str, Sequence[Judgement]]]) -> dict[str, Any]:
    kinds = {name: "scalar" if "scalar" in modes else "judge" for name, modes in judged.items()}
    signatures = {name: {mode: f"{name}|{mode}|<v1>" for mode in modes} for name, modes in judged.items()}
    return compare(given, judged, kinds=kinds, signatures=signatures, resamples=40, permutations=40)


def write(directory: Path, count: int = 24) -> Path:
    """A study's working directory."""
    given = pairs(count)
    judged = judgements(given)
    directory.mkdir()
    pair_files.write(directory / "pairs.jsonl", given)
    for name, modes in judged.items():
        (directory / "judgements" / name).mkdir(parents=True)
        for mode, found in modes.items():
            (directory / "judgements" / name / f"{mode}.jsonl").write_text(lines(found))
    (directory / "compare.json").write_text(json.dumps(comparison(given, judged)))
    (directory / "study.json").write_text(json.dumps({"pairs": str(directory / "pairs.jsonl")}))
    return directory
