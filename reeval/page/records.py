"""The pairs and what was said of them, as compact JSON for the page's script.

    {"with_text": true, "aspects": [..., "other"], "types": [..., "other"],
     "judges": [{"name", "mode", "kind", "label"}],
     "pairs": [[pair_id, reference_id, significant, identical, ERRORS or null, [JUDGED, ...one a judge], TEXTS]]}
    ERRORS  [CELL, ...], or with text [[CELL, reference_span, candidate_span, explanation], ...]
    CELL    (aspect * types + type) * 3 + 0 insignificant, 1 significant, 2 not graded
    JUDGED  [VERDICT, probability, score, status, ERRORS or null, for each gold error which of its errors answers, or -1,
             and with text: [raw answers]]
    VERDICT 1 significant, 0 not, -1 not parsed, -2 none

Without text there are no reports, spans, explanations, raw answers or reasons of a failed parse, and no name that is
not the taxonomy's: what another program wrote there may quote a report.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reeval.judgements import OK, REPAIRED, Judgement
from reeval.metrics.matching import match
from reeval.page.inputs import Column
from reeval.pairs import Error, Pair
from reeval.taxonomy import ASPECTS, TYPES

OTHER = "other"
NOT_PARSED = "not parsed"
_SIGNIFICANT, _NOT, _FAILED, _NONE = 1, 0, -1, -2
_GRADES, _UNGRADED = {"insignificant": 0, "significant": 1}, 2
_ASPECTS = {name: index for index, name in enumerate([*ASPECTS, OTHER])}
_TYPES = {name: index for index, name in enumerate([*TYPES, OTHER])}


def records(pairs: Sequence[Pair], columns: Sequence[Column], *, with_text: bool) -> dict[str, Any]:
    """What `script_json` puts into the page."""
    rows = []
    for index, pair in enumerate(pairs):
        said = [_judged(pair, column.judged[index], column.entry, with_text) for column in columns]
        gold = None if pair.errors is None else _errors(pair.errors, with_text)
        row = [pair.pair_id, pair.reference_id, int(pair.significant), int(pair.identical), gold, said]
        rows.append([*row, pair.reference, pair.candidate] if with_text else row)
    judges = [{"name": c.name, "mode": c.mode, "kind": c.kind, "label": c.label} for c in columns]
    return {"with_text": with_text, "aspects": list(_ASPECTS), "types": list(_TYPES), "judges": judges, "pairs": rows}


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no character in it ends the element or opens a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: U+2028 is escaped, and half surrogates
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def verdict(judgement: Judgement, threshold: float | None) -> int:
    """What a judgement says of its pair, a scalar's score by the threshold at or below which a pair is flagged."""
    if not judgement.parsed:
        return _FAILED
    if judgement.significant is not None:
        return _SIGNIFICANT if judgement.significant else _NOT
    if judgement.score is None or threshold is None:
        return _NONE
    return _SIGNIFICANT if judgement.score <= threshold else _NOT


def status(judgement: Judgement, *, with_text: bool) -> str:
    return judgement.parse_status if with_text or judgement.parse_status in (OK, REPAIRED) else NOT_PARSED


def _judged(pair: Pair, judgement: Judgement, entry: Mapping[str, Any], with_text: bool) -> list[Any]:
    threshold = entry.get("threshold")
    value = threshold.get("value") if isinstance(threshold, Mapping) else threshold
    errors = None if judgement.errors is None else [_plain(error) for error in judgement.errors]
    row = [
        verdict(judgement, value),
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
