"""What one judge's verdicts on graded pairs are worth, in one mode: plain enough for JSON, and without report text.

A rate is `{"percent", "low", "high", "right", "n"}`, low and high being its Wilson interval; what is unknown for want
of cases is null. `reeval.metrics` says what each figure means. `curve` is `{"threshold", "D", "R"}`, a list each, from
the threshold above all scores (null) down; it, `area` and its interval are null where verdicts carry no probabilities.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from reeval.metrics import breakdown, dr
from reeval.metrics.curve import curve
from reeval.metrics.intervals import RESAMPLES, Intervals
from reeval.metrics.matching import match
from reeval.metrics.rates import Rate
from reeval.pairs import Error, Pair
from reeval.taxonomy import ASPECTS, TYPES

Summary = dict[str, Any]


def summary(
    pairs: Sequence[Pair],
    judged: np.ndarray,
    scores: np.ndarray | None,
    errors: Sequence[Sequence[Error] | None] | None,
    ends: Intervals,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Summary:
    """
    Args:
        pairs: P graded pairs; one without errors, but a label, counts in D and R alone.
        judged: int8 [P], as in `dr.score`.
        scores: float [P], the probability, or what else rises with it, that each is significant, nan where unknown;
            None where there are none.
        errors: what the judge found in each pair, None for one that could not be parsed; None of a judge that names no
            errors, for which there is no table of severities.
        ends: of `judged`, by `metrics.intervals`.
        confidence, resamples, seed: of intervals that are not in `ends`.
    """
    gold = np.array([pair.significant for pair in pairs], bool)
    identical = np.array([pair.identical for pair in pairs], bool)
    references = np.array([pair.reference_id for pair in pairs])
    return {
        "pairs": len(pairs),
        "references": ends.references,
        **scored(dr.score(gold, judged, identical), confidence),
        "balanced_interval": numbers(ends.balanced),
        "bias_interval": numbers(ends.bias),
        **_curve(gold, scores, references, confidence, resamples, seed),
        **_breakdowns(gold, judged, errors, pairs, confidence),
        "baselines": {
            "always_flag": scored(dr.score(gold, dr.always_flag(len(pairs)), identical), confidence),
            "never_flag": scored(dr.score(gold, dr.never_flag(len(pairs)), identical), confidence),
        },
    }


def scored(scores: dr.Scores, confidence: float = 0.95) -> dict[str, Any]:
    """D, R and their companions."""
    return {
        "D": rated(scores.D, confidence),
        "R": rated(scores.R, confidence),
        "R_without_identical": rated(scores.R_without_identical, confidence),
        "balanced": number(scores.balanced),
        "harmonic": number(scores.harmonic),
        "bias": number(scores.bias),
        "parse_failure_rate": rated(scores.parse_failures, confidence),
        # Reported figures count what could not be parsed as wrong; these count it as right.
        "if_unparsable_were_right": {
            "D": number(scores.D_best.percent),
            "R": number(scores.R_best.percent),
            "balanced": number(scores.balanced_best),
            "harmonic": number(scores.harmonic_best),
            "bias_least": number(scores.bias_bounds[0]),
            "bias_greatest": number(scores.bias_bounds[1]),
        },
    }


def rated(rate: Rate, confidence: float = 0.95) -> dict[str, float | int | None]:
    low, high = rate.wilson(confidence)
    return {
        "percent": number(rate.percent), "low": number(low), "high": number(high), "right": rate.right, "n": rate.n
    }  # fmt: skip


def numbers(values: Sequence[float]) -> list[float | None]:
    return [number(value) for value in values]


def number(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else float(value)


def _curve(
    gold: np.ndarray,
    scores: np.ndarray | None,
    references: np.ndarray,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The D-R curve over the threshold of the pairs' scores."""
    found = None
    if scores is not None:
        found = curve(gold, scores, references, confidence=confidence, resamples=resamples, seed=seed)
    if found is None:
        return {"area": None, "area_interval": [None, None], "curve": None}
    thresholds, D, R = (column.tolist() for column in found.thinned())
    points = {"threshold": [None, *thresholds[1:]], "D": D, "R": R}
    return {"area": found.area, "area_interval": numbers(found.interval), "curve": points}


def _breakdowns(
    gold: np.ndarray,
    judged: np.ndarray,
    listed: Sequence[Sequence[Error] | None] | None,
    pairs: Sequence[Pair],
    confidence: float,
) -> dict[str, Any]:
    """D and R, and the accuracy of severity, by aspect, by type and by both."""
    errors: list[tuple[int, Error, int]] = []  # pair, gold error, the judge's answer
    for index, pair in enumerate(pairs):
        found = (listed[index] if listed is not None else None) or ()
        for error, answer in zip(pair.errors or (), match(pair.errors or (), found), strict=True):
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

    def severity(scores: breakdown.SeverityScores) -> dict[str, Any]:
        return {field.name: rated(getattr(scores, field.name), confidence) for field in dataclasses.fields(scores)}

    made: dict[str, Any] = {"severity": None if listed is None else {}}
    for name, (group, labels) in groupings.items():
        scores = breakdown.by_group(gold, judged, where, significant, group, len(labels))
        made[name] = {
            label: {"D": rated(s.D, confidence), "R": rated(s.R, confidence)}
            for label, s in zip(labels, scores, strict=True)
        }
        if listed is not None:
            graded = breakdown.severity_by_group(significant, answers, group, len(labels))
            made["severity"][name] = {label: severity(s) for label, s in zip(labels, graded, strict=True)}
    if listed is not None:
        (overall,) = breakdown.severity_by_group(significant, answers, np.zeros_like(kind), 1)
        made["severity"]["all"] = severity(overall)
    return made
