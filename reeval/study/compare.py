"""The comparison of evaluators on the same pairs: judgements in, compare.json out.

Pairs may be graded (with errors, or a label): over these are D and R and all that goes with them. They may have a
level (`reeval.study.graded`) or ratings by people (`reeval.study.ratings`) beside that or in place of it. No report
text comes out.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reeval import pairs as pair_files
from reeval.evaluate.summary import numbers, rated, scored, summary
from reeval.judgements import Judgement
from reeval.metrics import dr
from reeval.metrics.calibration import calibration
from reeval.metrics.differences import PERMUTATIONS
from reeval.metrics.intervals import RESAMPLES, Intervals, Resampled, intervals_of, resampled
from reeval.metrics.threshold import Threshold, cross_validated
from reeval.pairs import Pair
from reeval.study import paired
from reeval.study.columns import SCALAR, Column, columns
from reeval.study.graded import graded, level
from reeval.study.humans import humans
from reeval.study.lengths import by_length
from reeval.study.usage import ratio, usage
from reeval.version import __version__

Comparison = dict[str, Any]
_TRADED = ("D", "R", "balanced", "harmonic", "bias")


def compare(
    pairs: Sequence[Pair],
    judged: Mapping[str, Mapping[str, Sequence[Judgement]]],
    *,
    kinds: Mapping[str, str],
    signatures: Mapping[str, Mapping[str, str]],
    seed: int = 0,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    confidence: float = 0.95,
) -> Comparison:
    """All that the evaluators' judgements say, as JSON has it; `docs/study.md` describes it.

    Args:
        judged: evaluator -> mode ("one_pass", "two_pass" or "scalar") -> its judgements, one of every pair.
        kinds: evaluator -> what it is.
        signatures: evaluator -> mode -> what decides its judgements, in one line.
        seed: of all that is drawn; the order of pairs and judgements makes no difference.
    Raises:
        ValueError: if a pair is not judged, or twice, or nothing is known of any pair that it could be held against.
    """
    # In one order, so that sums of floating point come out the same.
    pairs = sorted(pairs, key=lambda pair: pair.pair_id)
    table = columns(pairs, judged)
    labelled = np.array([pair.errors is not None or pair.label is not None for pair in pairs], bool)
    gold = np.array([pair.significant for pair, known in zip(pairs, labelled, strict=True) if known], bool)
    drawing: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
    ordered = graded(pairs, table, **drawing)
    beside = humans(pairs, table, **drawing)
    if not labelled.any() and ordered is None and beside is None:
        raise ValueError("the pairs have no errors, labels, levels or ratings, so there is nothing to compare with")
    mine = [pair for pair, known in zip(pairs, labelled, strict=True) if known]
    study = _Graded(mine, gold, labelled, table, confidence, resamples, seed) if mine else None
    tests = study.tests(permutations) if study else []
    evaluators = {
        name: {
            "kind": kinds[name],
            "modes": {
                mode: {
                    "signature": signatures[name][mode],
                    **(study.of(column) if study else {"summary": None, "calibration": None, "threshold": None}),
                    "usage": usage(pairs, column.judgements),
                }
                for mode, column in modes.items()
            },
        }
        for name, modes in table.items()
    }
    levels = [level(pair) for pair in pairs]
    return {
        "reeval": __version__,
        "pairs": {
            "n": len(pairs),
            "references": len({pair.reference_id for pair in pairs}),
            "labelled": len(mine),
            "significant": int(gold.sum()),
            "insignificant": int((~gold).sum()),
            "identical": sum(pair.identical for pair in mine),
            "with_level": sum(not math.isnan(one) for one in levels),
            "with_ratings": sum(bool(pair.metadata.get("ratings")) for pair in pairs),
            "sha256": _sha256(pairs),
        },
        "settings": {"confidence": confidence, "resamples": resamples, "permutations": permutations, "seed": seed},
        "evaluators": evaluators,
        "baselines": _baselines(mine, gold, confidence) if mine else None,
        "tests": [test for test in tests if test["family"] != paired.ACROSS],
        "two_pass": _traded([test for test in tests if test["family"] == paired.ACROSS], evaluators),
        "graded": ordered,
        "humans": beside,
    }


class _Graded:
    """The evaluators over the graded pairs, with what is drawn once for all of them."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        gold: np.ndarray,
        labelled: np.ndarray,
        table: Mapping[str, Mapping[str, Column]],
        confidence: float,
        resamples: int,
        seed: int,
    ):
        self.pairs, self.gold, self.labelled = pairs, gold, labelled
        self.drawing: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
        self.references = np.array([pair.reference_id for pair in pairs])
        all_columns = {(name, mode): column for name, modes in table.items() for mode, column in modes.items()}
        self.thresholds: dict[paired.Key, Threshold] = {}
        self.judged: dict[paired.Key, np.ndarray] = {}
        for key, column in all_columns.items():
            if column.mode == SCALAR:
                scores = column.scores[labelled]
                self.thresholds[key] = cross_validated(gold, scores, self.references, seed=seed)
                self.judged[key] = self.thresholds[key].judged
            else:
                self.judged[key] = column.judged[labelled]
        judged_KP = np.array(list(self.judged.values())).reshape(len(self.judged), len(gold))
        self.drawn: Resampled = resampled(gold, judged_KP, self.references, resamples=resamples, seed=seed)
        self.at = {key: i for i, key in enumerate(self.judged)}

    def tests(self, permutations: int) -> list[paired.Test]:
        return paired.tests(
            self.gold,
            self.judged,
            self.references,
            self.drawn,
            confidence=self.drawing["confidence"],
            permutations=permutations,
            seed=self.drawing["seed"],
        )

    def of(self, column: Column) -> dict[str, Any]:
        key = (column.name, column.mode)
        judged, confidence = self.judged[key], self.drawing["confidence"]
        ends = intervals_of(self.gold, judged, self.drawn, self.at[key], confidence)
        if column.mode == SCALAR:
            scores, errors = -column.scores[self.labelled], None
        else:
            probabilities = column.probabilities
            scores = None if probabilities is None else probabilities[self.labelled]
            listed = column.errors
            errors = None if listed is None else [e for e, known in zip(listed, self.labelled, strict=True) if known]
        made = summary(self.pairs, judged, scores, errors, ends, **self.drawing)
        if column.mode == SCALAR and made["curve"] is not None:
            # In the metric's own direction: flagged where the score is at most this.
            made["curve"]["threshold"] = [None if t is None else -t for t in made["curve"]["threshold"]]
        made.pop("baselines")
        return {
            "summary": made | _intervals(ends) | {"by_length": by_length(self.pairs, judged, confidence)},
            "calibration": self._calibration(column),
            "threshold": self._threshold(key, made) if column.mode == SCALAR else None,
        }

    def _calibration(self, column: Column) -> dict[str, Any] | None:
        if column.mode == SCALAR or column.probabilities is None:
            return None
        probabilities = column.probabilities[self.labelled]
        known = ~np.isnan(probabilities)
        if not known.any():
            return None
        found = calibration(self.gold[known], probabilities[known], self.references[known], **self.drawing)
        return {
            "bins": [
                {
                    "low": b.low,
                    "high": b.high,
                    "mean": b.mean,
                    "significant": rated(b.significant, self.drawing["confidence"]),
                }
                for b in found.bins
            ],
            "brier": found.brier,
            "brier_interval": numbers(found.brier_interval),
            "brier_of_share": found.brier_of_share,
            "ece": found.ece,
            "n": found.n,
        }

    def _threshold(self, key: paired.Key, made: Mapping[str, Any]) -> dict[str, Any]:
        found = self.thresholds[key]
        flattering = scored(dr.score(self.gold, found.in_sample, np.zeros_like(self.gold)))
        return {
            "flagged": "score < threshold",
            # null: nothing or all is flagged.
            "threshold": _limit(found.threshold),
            "of_folds": [_limit(one) for one in found.of_folds],
            "folds": len(found.of_folds),
            "verdicts": "out of fold",
            "in_sample": {name: flattering[name]["percent"] for name in ("D", "R")}
            | {"balanced": flattering["balanced"]},
            "auc": made["area"],
            "auc_interval": made["area_interval"],
        }


def _intervals(ends: Intervals) -> dict[str, Any]:
    return {f"{name}_interval": numbers(getattr(ends, name)) for name in _TRADED}


def _limit(threshold: float) -> float | None:
    return threshold if math.isfinite(threshold) else None


def _baselines(pairs: Sequence[Pair], gold: np.ndarray, confidence: float) -> dict[str, Any]:
    identical = np.array([pair.identical for pair in pairs], bool)
    always, never = (
        scored(dr.score(gold, made(len(pairs)), identical), confidence) for made in (dr.always_flag, dr.never_flag)
    )

    def expected(n: int) -> dict[str, Any]:
        return {"percent": 50.0 if n else None, "low": None, "high": None, "right": None, "n": n}

    # What a fair coin has on average; no coin is thrown.
    both = bool(gold.any() and not gold.all())
    random = {
        **{name: expected(always[name]["n"]) for name in ("D", "R", "R_without_identical")},
        "balanced": 50.0 if both else None,
        "harmonic": 50.0 if both else None,
        "bias": 0.0 if both else None,
    }
    return {"always_flag": always, "never_flag": never, "random": random}


def _traded(tests: Sequence[paired.Test], evaluators: Mapping[str, Any]) -> dict[str, Any]:
    """What two-pass trades: differences, two-pass less one-pass, and its tokens, seconds and cost per those of one."""
    names = [name for name, one in evaluators.items() if {"one_pass", "two_pass"} <= set(one["modes"])]
    tested = {test["first"][0]: {name: test[name] for name in _TRADED} for test in tests}
    made = {}
    for name in names:
        two, one = (evaluators[name]["modes"][mode]["usage"] for mode in ("two_pass", "one_pass"))
        made[name] = tested.get(name, {}) | {
            "tokens_ratio": ratio(two, one, "input_tokens", "output_tokens"),
            "seconds_ratio": ratio(two, one, "seconds"),
            "cost_ratio": ratio(two, one, "cost"),
        }
    return made


def _sha256(pairs: Sequence[Pair]) -> str:
    """Of what the pairs say, whatever the order and the form of the file; without the paths of images."""
    digest = hashlib.sha256()
    for pair in pairs:
        row = {name: value for name, value in pair_files.to_json(pair).items() if name != "image"}
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
