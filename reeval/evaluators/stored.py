"""What other evaluators said, from files: so that no run of others has to be made again.

Formats, a row a pair: "judgements", as `reeval compare`, `reeval eval` and `reeval score` write them; "text", a model's
own words, read by the tolerant reader; "green" and "crimson", as those metrics give them. A row that cannot be read
costs its own pair.
"""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval import judgements
from reeval.evaluators import crimson, green, tolerant
from reeval.evaluators.evaluator import encodable, text_sha256
from reeval.evaluators.files import MISSING, Row, Rows, file_sha256, say
from reeval.evaluators.tolerant import Reading
from reeval.judgements import OK, REPAIRED, Judgement
from reeval.pairs import Pair
from reeval.settings import Field
from reeval.taxonomy import SEVERITIES, TYPES

FORMATS = ("judgements", "text", "green", "crimson")
FIELDS: Mapping[str, Field] = {
    "format": Field(str, among=FORMATS),
    "one_pass": Field(str),
    "two_pass": Field(str),
    # Columns of the text of each pass, where they have none of the usual names.
    "text": Field(str),
    "second_text": Field(str),
}
DEFAULTS: Mapping[str, Any] = {"one_pass": "", "two_pass": "", "text": "", "second_text": ""}
_MODES = ("one_pass", "two_pass")
# Usual names of the column of a text, the first found counts.
_TEXTS = (
    "text", "raw", "output", "response", "answer", "completion", "generated", "prediction", "evaluation",
    "green_analysis", "generated response to prompt", "raw_evaluation",
)  # fmt: skip
_FIRST = ("text_1", "first", "pass_1", "spans")
_SECONDS = ("text_2", "second", "pass_2", "severities")
# Of a pair whose own file says why it has no verdict.
NOT_PARSED = "not parsed, by its maker"
# Such as ours are.
_A_REPAIR = re.compile(r"[a-z]+(?: [a-z]+)?")
_USAGE = ("input_tokens", "output_tokens", "seconds", "cost")


class StoredEvaluator:
    kind = "stored"
    keeps = False

    def __init__(self, settings: Mapping[str, Any], pairs: Sequence[Pair], cache: Path):
        self._files = {mode: Path(settings[mode]) for mode in _MODES if settings[mode]}
        self.modes = tuple(self._files)
        if not self.modes:
            raise ValueError("one_pass and two_pass are both empty; give the file of one of them")
        self._settings = settings
        self._identity = {
            mode: {
                "stored": settings["format"],
                "file": file_sha256(path)[:12],
                "mode": mode,
                "reader": tolerant.VERSION,
            }
            for mode, path in self._files.items()
        }

    def identity(self, mode: str) -> Mapping[str, str]:
        return self._identity[mode]

    def content(self, pair: Pair) -> str:
        return text_sha256(pair.reference, pair.candidate)

    def judge(self, pairs: Sequence[Pair], mode: str) -> Iterator[Judgement]:
        """Raises ValueError if no row of the file can be read, or none is of these pairs."""
        path = self._files[mode]
        rows = Rows(path, pairs, lambda row: row.get("mode") in (None, "", mode))
        read = self._reader(mode)
        found: dict[str, Judgement] = {}
        usable = 0
        for where, pair_id, row in rows:
            try:
                found[pair_id] = read(pair_id, row)
                usable += 1
            except ValueError as error:
                rows.broken(where, str(error))
                found[pair_id] = Judgement(pair_id, f"cannot be read: {error}")
        rows.finish(usable)
        missing = [pair.pair_id for pair in pairs if pair.pair_id not in found]
        say(path, rows, missing=len(missing))
        yield from found.values()
        yield from (Judgement(pair_id, MISSING) for pair_id in missing)

    def _reader(self, mode: str) -> Callable[[str, Row], Judgement]:
        if self._settings["format"] == "judgements":
            return _judgement
        return lambda pair_id, row: self._of_text(pair_id, row, mode)

    def _of_text(self, pair_id: str, row: Row, mode: str) -> Judgement:
        """Raises ValueError where the row has no text at all; a text without verdict is a judgement."""
        form = self._settings["format"]
        if form == "crimson" and crimson.holds(row):
            return _made(pair_id, row, [json.dumps(row, ensure_ascii=False)], *_status(crimson.read(dict(row))))
        values = self._values(row, mode)
        if form == "crimson":
            texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
            return _made(pair_id, row, texts, *_status(crimson.read(values[-1])))
        if not all(isinstance(value, str) for value in values):
            raise ValueError("the text is no text")
        texts = [encodable(value) for value in values]
        if form == "green":
            return _made(pair_id, row, texts, *_status(green.read(texts[-1])))
        return _made(pair_id, row, texts, *tolerant.read_answers(mode, texts))

    def _values(self, row: Row, mode: str) -> list[Any]:
        """What a row has of each pass."""
        first = _column(row, self._settings["text"], (*_FIRST, *_TEXTS) if mode == "two_pass" else _TEXTS)
        if first is None:
            raise ValueError("has no column of text; name it as config.evaluators.NAME.text")
        value = row[first]
        if isinstance(value, list):
            return value
        values = [value]
        if mode == "two_pass" and self._settings["format"] == "text":
            second = _column(row, self._settings["second_text"], _SECONDS)
            if second is not None and row[second] not in (None, ""):
                values.append(row[second])
        return values


def _column(row: Row, name: str, usual: Sequence[str]) -> str | None:
    if name:
        return name if name in row else None
    by_lower = {str(key).strip().casefold(): key for key in reversed(list(row))}
    return next((by_lower[alias] for alias in usual if alias in by_lower), None)


def _status(reading: Reading) -> tuple[str, Reading]:
    if reading.verdict is None:
        return f"pass 1: {reading.problem}", reading
    return (REPAIRED if reading.repairs else OK), reading


def _made(pair_id: str, row: Row, texts: Sequence[str], status: str, reading: Reading) -> Judgement:
    verdict = reading.verdict
    return Judgement(
        pair_id=pair_id,
        parse_status=status,
        raw=tuple(map(encodable, texts)),
        repairs=dict(reading.repairs),
        errors=None if verdict is None else verdict.errors,
        significant=None if verdict is None else verdict.significant,
        **{name: _number(row.get(name)) for name in _USAGE},
    )


def _number(value: Any) -> Any:
    """Usage that others recorded beside their texts."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return None if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18 else value


def _judgement(pair_id: str, row: Row) -> Judgement:
    """Of a row of ours. Raises ValueError."""
    plain = {name.removeprefix("reeval_"): row[name] for name in sorted(row, key=lambda n: n.startswith("reeval_"))}
    if "verdict" in plain and "signature" in plain:  # of `reeval score`, whose input may have had errors of its own
        verdict = _parsed(plain["verdict"])
        plain |= {"errors": verdict.get("errors") if isinstance(verdict, dict) else None, "score": None}
        plain["raw"] = _parsed(plain.get("raw"))
        for name in ("significant", "probability"):
            plain[name] = _parsed(plain.get(name))
    made = judgements.judgement({**plain, "pair_id": pair_id})
    if made.parsed and made.significant is None:
        raise ValueError("field 'significant': missing, though the status says that it was parsed")
    for error in made.errors or ():
        spans = (error.reference_span, error.candidate_span)
        if error.type not in TYPES or error.severity not in SEVERITIES or not all(isinstance(s, str) for s in spans):
            raise ValueError("field 'errors': has a type, a severity or a span that is none")
    # In a file of others the reason, and the name of a repair, may be anything, a report's words too.
    repairs = Counter[str]()
    for name, count in made.repairs.items():
        repairs[name if _A_REPAIR.fullmatch(name) else "its maker's"] += count
    status = made.parse_status if made.parsed else NOT_PARSED
    usage = {name: _number(getattr(made, name)) for name in _USAGE}
    made = dataclasses.replace(made, parse_status=status, repairs=dict(repairs), **usage)
    if made.probability is not None and not 0 <= made.probability <= 1:
        raise ValueError("field 'probability': must be from 0 to 1")
    listed = None if made.errors is None else any(error.significant for error in made.errors)
    if listed is not None and made.significant not in (None, listed):
        raise ValueError("field 'significant': does not agree with the severities in 'errors'")
    return made


def _parsed(cell: Any) -> Any:
    """What a cell of a CSV file holds as JSON; nothing where it is empty."""
    if not isinstance(cell, str):
        return cell
    if not cell:
        return None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise ValueError("a cell is not the JSON that `reeval score` writes") from None
