"""From verdicts to figures: one summary a judge and mode, plain enough for JSON.

A rate is `{"percent", "low", "high", "right", "n"}`, low and high being the Wilson 95 % interval; what is
unknown for want of cases is null. `reeval.metrics` says what each figure means. `curve` is `{"threshold", "D", "R"}`,
a list each, from the threshold above all scores (null) down; it, `area` and its interval are null where verdicts carry
no probabilities, as those of free decoding do.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reeval.metrics import breakdown, dr
from reeval.metrics.curve import curve
from reeval.metrics.intervals import intervals
from reeval.metrics.matching import match
from reeval.metrics.paired import mcnemar
from reeval.metrics.rates import Rate
from reeval.pairs import Error, Pair
from reeval.taxonomy import ASPECTS, TYPES

Row = Mapping[str, Any]
Summary = dict[str, Any]


def summarise(rows: Iterable[Row], pairs: Sequence[Pair], *, seed: int = 0) -> Summary:
    """What the verdict rows of one mode are worth.

    Args:
        rows: one row a pair, as in verdicts.jsonl, in any order.
        pairs: the graded pairs that were judged; one without errors, but a label, counts in D and R alone.
        seed: of the bootstrap.
    Raises:
        ValueError: if a pair has no row or two, a row has no pair or another label, or modes are mixed.
    """
    verdicts = _by_pair(rows, pairs)
    gold = np.array([pair.significant for pair in pairs], bool)
    identical = np.array([pair.identical for pair in pairs], bool)
    judged = _judgements(verdicts)
    references = np.array([pair.reference_id for pair in pairs])
    ends = intervals(gold, judged, references, seed=seed)
    modes = sorted({str(row["mode"]) for row in verdicts})
    if len(modes) != 1:
        raise ValueError(f"a summary is of one mode; these verdicts are of {', '.join(modes) or 'none'}")
    return {
        "mode": modes[0],
        "pairs": len(pairs),
        "references": ends.references,
        **_scores(dr.score(gold, judged, identical)),
        "balanced_interval": _ends(ends.balanced),
        "bias_interval": _ends(ends.bias),
        **_curve(gold, verdicts, references, seed),
        **_breakdowns(gold, judged, verdicts, pairs),
        "baselines": {
            "always_flag": _scores(dr.score(gold, dr.always_flag(len(pairs)), identical)),
            "never_flag": _scores(dr.score(gold, dr.never_flag(len(pairs)), identical)),
        },
    }


def compare(first: Iterable[Row], second: Iterable[Row], pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
    """McNemar's exact tests of two judges on the same pairs, for "D" and "R". Raises as `summarise`."""
    gold = np.array([pair.significant for pair in pairs], bool)
    one, two = (_judgements(_by_pair(rows, pairs)) for rows in (first, second))
    return {name: dataclasses.asdict(test) for name, test in mcnemar(gold, one, two).items()}


def scalars(summary: Summary) -> dict[str, float]:
    """A summary as flat names and numbers for a writer of scalars: "D", "D_low", "by_aspect/device/R_n".

    Left out: what is unknown, the points of the curve and, because a page of a thousand charts shows nothing, the
    severities by aspect and type at once and the baselines.
    """
    flat: dict[str, float] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping) and "percent" in value:  # a rate: the name itself is the percentage
            walk(prefix, value["percent"])
            for end in ("low", "high", "n"):
                walk(f"{prefix}_{end}", value[end])
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                walk(f"{prefix}/{name}" if prefix else name, inner)
        elif isinstance(value, list):
            for end, inner in zip(("low", "high"), value, strict=True):
                walk(f"{prefix.removesuffix('_interval')}_{end}", inner)
        elif value is not None and not isinstance(value, str):
            flat[prefix] = float(value)

    severity = {name: value for name, value in summary["severity"].items() if name != "by_aspect_and_type"}
    left_out = ("baselines", "curve")
    walk("", {name: value for name, value in summary.items() if name not in left_out} | {"severity": severity})
    return flat


def _by_pair(rows: Iterable[Row], pairs: Sequence[Pair]) -> list[Row]:
    """The rows in the order of the pairs."""
    row_of: dict[str, Row] = {}
    for row in rows:
        if row["pair_id"] in row_of:
            raise ValueError(f"pair {row['pair_id']!r} has two verdicts in one mode")
        row_of[row["pair_id"]] = row
    missing = [pair.pair_id for pair in pairs if pair.pair_id not in row_of]
    if missing:
        raise ValueError(f"{len(missing)} of {len(pairs)} pairs have no verdict, the first is {missing[0]!r}")
    ordered = [row_of.pop(pair.pair_id) for pair in pairs]
    if row_of:
        raise ValueError(f"{len(row_of)} verdicts are of other pairs, the first is of {next(iter(row_of))!r}")
    for pair, row in zip(pairs, ordered, strict=True):
        if bool(row["gold"]) != pair.significant:
            raise ValueError(f"pair {pair.pair_id!r} has another label than when it was judged; judge it anew")
    return ordered


def _judgements(verdicts: Sequence[Row]) -> np.ndarray:
    code = {True: dr.SIGNIFICANT, False: dr.NOT_SIGNIFICANT, None: dr.UNPARSABLE}
    return np.array([code[row["significant"]] for row in verdicts], np.int8)


def _curve(gold: np.ndarray, verdicts: Sequence[Row], references: np.ndarray, seed: int) -> dict[str, Any]:
    """The D-R curve over the threshold of the pairs' probabilities."""
    scores = [math.nan if row["significant"] is None else row.get("probability") for row in verdicts]
    found = None if None in scores else curve(gold, np.array(scores, float), references, seed=seed)
    if found is None:
        return {"area": None, "area_interval": [None, None], "curve": None}
    thresholds, D, R = (column.tolist() for column in found.thinned())
    points = {"threshold": [None, *thresholds[1:]], "D": D, "R": R}
    return {"area": found.area, "area_interval": _ends(found.interval), "curve": points}


def _breakdowns(gold: np.ndarray, judged: np.ndarray, verdicts: Sequence[Row], pairs: Sequence[Pair]) -> dict[str, Any]:
    """D and R, and the accuracy of severity, by aspect, by type and by both."""
    errors: list[tuple[int, Error, int]] = []  # pair, gold error, the judge's answer
    for index, (pair, row) in enumerate(zip(pairs, verdicts, strict=True)):
        listed = () if row["significant"] is None else [Error(**error) for error in row["errors"]]
        for error, answer in zip(pair.errors or (), match(pair.errors or (), listed), strict=True):
            errors.append((index, error, breakdown.NOT_FOUND if answer is None else int(answer.significant)))
    where = np.array([index for index, _, _ in errors], int)
    significant = np.array([error.significant for _, error, _ in errors], bool)
    answers = np.array([answer for _, _, answer in errors], np.int8)
    aspect = np.array([ASPECTS.index(error.aspect) for _, error, _ in errors], int)
    kind = np.array([TYPES.index(error.type) for _, error, _ in errors], int)
    groupings = {
        "by_aspect": (aspect, list(ASPECTS)),
        "by_type": (kind, list(TYPES)),
        "by_aspect_and_type": (aspect * len(TYPES) + kind, [f"{a}/{t}" for a in ASPECTS for t in TYPES]),
    }
    found: dict[str, Any] = {"severity": {}}
    for name, (group, labels) in groupings.items():
        scores = breakdown.by_group(gold, judged, where, significant, group, len(labels))
        graded = breakdown.severity_by_group(significant, answers, group, len(labels))
        found[name] = {label: {"D": _rate(s.D), "R": _rate(s.R)} for label, s in zip(labels, scores, strict=True)}
        found["severity"][name] = {label: _severity(s) for label, s in zip(labels, graded, strict=True)}
    (overall,) = breakdown.severity_by_group(significant, answers, np.zeros_like(kind), 1)
    found["severity"]["all"] = _severity(overall)
    return found


def _severity(scores: breakdown.SeverityScores) -> dict[str, Any]:
    return {field.name: _rate(getattr(scores, field.name)) for field in dataclasses.fields(scores)}


def _scores(scores: dr.Scores) -> dict[str, Any]:
    return {
        "D": _rate(scores.D),
        "R": _rate(scores.R),
        "R_without_identical": _rate(scores.R_without_identical),
        "balanced": _number(scores.balanced),
        "harmonic": _number(scores.harmonic),
        "bias": _number(scores.bias),
        "parse_failure_rate": _rate(scores.parse_failures),
        # Reported figures count what could not be parsed as wrong; these count it as right.
        "if_unparsable_were_right": {
            "D": _number(scores.D_best.percent),
            "R": _number(scores.R_best.percent),
            "balanced": _number(scores.balanced_best),
            "harmonic": _number(scores.harmonic_best),
            "bias_least": _number(scores.bias_bounds[0]),
            "bias_greatest": _number(scores.bias_bounds[1]),
        },
    }


def _rate(rate: Rate) -> dict[str, float | int | None]:
    low, high = rate.wilson()
    percent = _number(rate.percent)
    return {"percent": percent, "low": _number(low), "high": _number(high), "right": rate.right, "n": rate.n}


def _ends(ends: tuple[float, float]) -> list[float | None]:
    return [_number(end) for end in ends]


def _number(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else value
