"""The pairs and what was said of them, as compact JSON for the page's script.

    {"with_text": true, "aspects": [..., "other"], "types": [..., "other"],
     "judges": [{"name", "mode", "kind", "label"}],
     "pairs": [[pair_id, reference_id, GOLD, identical, ERRORS or null, [JUDGED, ...one a judge],
                LEVEL or null, and with text: reference, candidate]]}
    GOLD    1 significant, 0 not, -2 not known
    ERRORS  [CELL, ...], or with text [[CELL, reference_span, candidate_span, explanation], ...]
    CELL    (aspect * types + type) * 3 + 0 insignificant, 1 significant, 2 not graded
    JUDGED  [VERDICT, probability, score, status, ERRORS or null, [for each gold error which of its errors answers, or
             -1], and with text: [raw answers]]
    VERDICT 1 significant, 0 not, -1 not parsed, -2 none

Without text there are no reports, spans, explanations, raw answers or reasons of a failed parse, and no name that is
not the taxonomy's: what another program wrote there may quote a report.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from reeval.judgements import OK, REPAIRED, Judgement
from reeval.metrics.matching import match
from reeval.metrics.threshold import cross_validated
from reeval.page.inputs import Column
from reeval.pairs import Error, Pair
from reeval.study.graded import level
from reeval.taxonomy import ASPECTS, TYPES

OTHER = "other"
NOT_PARSED = "not parsed"
_FAILED, _NONE = -1, -2  # as verdicts, beside 1 and 0
_GRADES, _UNGRADED = {"insignificant": 0, "significant": 1}, 2
_ASPECTS = {name: index for index, name in enumerate([*ASPECTS, OTHER])}
_TYPES = {name: index for index, name in enumerate([*TYPES, OTHER])}


def records(pairs: Sequence[Pair], columns: Sequence[Column], *, with_text: bool, seed: int = 0) -> dict[str, Any]:
    """What `script_json` puts into the page.

    Args:
        seed: of the comparison: thresholds of scalar metrics were chosen with it.
    """
    said_of = [verdicts(pairs, column, seed) for column in columns]
    rows = []
    for index, pair in enumerate(pairs):
        said = [
            _judged(pair, column.judged[index], verdict[index], with_text)
            for column, verdict in zip(columns, said_of, strict=True)
        ]
        gold = None if pair.errors is None else _errors(pair.errors, with_text)
        row = [pair.pair_id, pair.reference_id, gold_of(pair), int(pair.identical), gold, said, _rounded(level(pair))]
        rows.append([*row, pair.reference, pair.candidate] if with_text else row)
    judges = [{"name": c.name, "mode": c.mode, "kind": c.kind, "label": c.label} for c in columns]
    return {"with_text": with_text, "aspects": list(_ASPECTS), "types": list(_TYPES), "judges": judges, "pairs": rows}


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no character in it ends the element or opens a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: U+2028 is escaped, and half surrogates
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def gold_of(pair: Pair) -> int:
    return _NONE if pair.errors is None and pair.label is None else int(pair.significant)


def verdicts(pairs: Sequence[Pair], column: Column, seed: int) -> list[int]:
    """What an evaluator says of each pair; of a scalar metric by the thresholds that the comparison chose."""
    found = [_verdict(judgement) for judgement in column.judged]
    known = [index for index, pair in enumerate(pairs) if gold_of(pair) != _NONE]
    references = np.array([pairs[index].reference_id for index in known])
    if column.mode != "scalar" or len(set(references)) < 2:
        return found
    gold = np.array([pairs[index].significant for index in known], bool)
    scores = np.array([_score(column.judged[index]) for index in known], float)
    for index, said in zip(known, cross_validated(gold, scores, references, seed=seed).judged, strict=True):
        found[index] = int(said)  # the same codes
    return found


def _verdict(judgement: Judgement) -> int:
    if not judgement.parsed:
        return _FAILED
    return _NONE if judgement.significant is None else int(judgement.significant)


def _score(judgement: Judgement) -> float:
    score = judgement.score if judgement.parsed else None
    return math.nan if score is None or not math.isfinite(score) else score


def status(judgement: Judgement, *, with_text: bool) -> str:
    return judgement.parse_status if with_text or judgement.parse_status in (OK, REPAIRED) else NOT_PARSED


def _judged(pair: Pair, judgement: Judgement, verdict: int, with_text: bool) -> list[Any]:
    errors = None if judgement.errors is None else [_plain(error) for error in judgement.errors]
    row = [
        verdict,
        _rounded(judgement.probability),
        _rounded(judgement.score),
        status(judgement, with_text=with_text),
        None if errors is None else _errors(errors, with_text),
        _answers(pair.errors or (), errors or ()),
    ]
    return [*row, [str(text) for text in judgement.raw]] if with_text else row


def _plain(error: Error) -> Error:
    """Of an error that another program wrote, whose fields may hold anything."""
    return Error(*("" if value is None else str(value) for value in dataclasses.astuple(error)))


def _answers(gold: Sequence[Error], judged: Sequence[Error]) -> list[int]:
    """For each gold error the place of the judged one that answers it, or -1."""
    place = {id(error): index for index, error in enumerate(judged)}
    return [-1 if answer is None else place[id(answer)] for answer in match(gold, judged)]


def _errors(errors: Iterable[Error], with_text: bool) -> list[Any]:
    if not with_text:
        return [_cell(error) for error in errors]
    return [[_cell(e), e.reference_span, e.candidate_span, e.explanation or ""] for e in errors]


def _cell(error: Error) -> int:
    aspect, kind = _ASPECTS.get(error.aspect, _ASPECTS[OTHER]), _TYPES.get(error.type, _TYPES[OTHER])
    return (aspect * len(_TYPES) + kind) * 3 + _GRADES.get(error.severity or "", _UNGRADED)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
