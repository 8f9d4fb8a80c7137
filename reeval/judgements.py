"""What an evaluator said of pairs: the records from which evaluators are compared, whoever made them.

A judgement file is JSON Lines, one object a pair, for one evaluator in one mode:

    {"pair_id": "s1-a", "raw": ["..."], "parse_status": "ok", "repairs": {}, "errors": [...], "significant": true,
     "probability": 0.93, "score": null, "input_tokens": 812, "output_tokens": 31, "seconds": 0.4, "cost": 0.0}

The verdicts that `reeval eval` and `reeval score` write are such rows. Only `pair_id` and `parse_status` have to be
there. `errors` is null where the evaluator names none, as a scalar metric, and where it could not be parsed.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reeval.pairs import Error

OK, REPAIRED = "ok", "repaired"
MODES = ("one_pass", "two_pass", "scalar")
_ERROR = {field.name for field in dataclasses.fields(Error)}


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """
    Attributes:
        raw: the evaluator's own words, one a pass; empty for a scalar metric.
        parse_status: "ok", "repaired" where a tolerant reader had to help, of which `repairs` counts how, or in a few
            words why there is no verdict.
        errors: that it found; None where it names none or was not parsed.
        significant: its verdict on the pair; None where it was not parsed, or where only `score` decides.
        probability: that the pair is significant, where the evaluator says so, from 0 to 1.
        score: of a scalar metric, higher is a better candidate; a threshold makes a verdict of it.
        seconds, cost: of this pair, cost in the currency of the evaluator's prices.
    """

    pair_id: str
    parse_status: str
    raw: tuple[str, ...] = ()
    repairs: Mapping[str, int] = dataclasses.field(default_factory=dict)
    errors: tuple[Error, ...] | None = None
    significant: bool | None = None
    probability: float | None = None
    score: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None

    @property
    def parsed(self) -> bool:
        return self.parse_status in (OK, REPAIRED)


def read(path: str | Path) -> list[Judgement]:
    """Raises ValueError with file, line and remedy of the first row that is no judgement; other fields are left out."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({type(error).__name__}); give a judgement file") from None
    found: dict[str, Judgement] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            made = judgement(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {_plain(error)}") from None
        if made.pair_id in found:
            raise ValueError(f"{path}:{number}: pair_id {made.pair_id!r} stands there twice; leave one of them")
        found[made.pair_id] = made
    if not found:
        raise ValueError(f"{path}: holds no judgement; give one JSON object a line")
    return list(found.values())


def judgement(row: Any) -> Judgement:
    """Of a parsed row. Raises ValueError, whose message holds none of its text."""
    if not isinstance(row, dict):
        raise ValueError("must be a JSON object")
    if not isinstance(row.get("pair_id"), str):
        raise ValueError("field 'pair_id': must be text")
    if not isinstance(row.get("parse_status"), str):
        raise ValueError("field 'parse_status': must be ok, repaired, or say why there is no verdict")
    for name in ("probability", "score", "input_tokens", "output_tokens", "seconds", "cost"):
        value = row.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"field {name!r}: must be a number or null")
    raw, repairs = row.get("raw") or [], row.get("repairs") or {}
    if not isinstance(raw, list | tuple) or not all(isinstance(text, str) for text in raw):
        raise ValueError("field 'raw': must be a list of texts, one a pass")
    if not isinstance(repairs, dict) or not all(type(count) is int for count in repairs.values()):
        raise ValueError("field 'repairs': must have a whole number for each kind of repair")
    if row.get("significant") not in (None, True, False):
        raise ValueError("field 'significant': must be true, false or null")
    try:
        errors = row.get("errors")
        made = None if errors is None else tuple(Error(**{k: e[k] for k in e.keys() & _ERROR}) for e in errors)
        known = {field.name for field in dataclasses.fields(Judgement)}
        plain = {name: row[name] for name in known & row.keys() if row[name] is not None}
        return Judgement(**(plain | {"errors": made, "raw": tuple(raw), "repairs": repairs}))
    except (TypeError, KeyError, AttributeError):
        raise ValueError("field 'errors': must be a list as `reeval eval` writes it") from None


def lines(judgements: Iterable[Judgement]) -> str:
    """The text of a judgement file."""
    return "".join(json.dumps(dataclasses.asdict(each), ensure_ascii=False) + "\n" for each in judgements)


def _plain(error: ValueError) -> str:
    return "is not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
