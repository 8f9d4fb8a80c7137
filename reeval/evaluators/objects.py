"""JSON that lists errors, under whatever names a model gives them."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.evaluators import words
from reeval.evaluators.lines import Line, Unreadable
from reeval.pairs import Error

_LISTS = (
    "errors", "differences", "discrepancies", "issues", "error_list", "errors_found", "verdict", "result", "results",
    "output", "answer", "response",
)  # fmt: skip
_BY_SEVERITY = {
    "significant": ("significant", "significant_errors", "clinically_significant_errors", "clinically_significant"),
    "insignificant": (
        "insignificant", "insignificant_errors", "clinically_insignificant_errors", "clinically_insignificant",
    ),
}  # fmt: skip
_NAMES: Mapping[str, tuple[str, ...]] = {
    "type": ("type", "error_type", "category", "kind"),
    "aspect": ("aspect", "error_aspect", "attribute", "dimension", "subcategory"),
    "reference": (
        "reference_span", "reference", "reference_text", "reference_words", "words_of_the_reference", "ref", "ref_span",
        "ground_truth", "gt", "in_reference",
    ),
    "candidate": (
        "candidate_span", "candidate", "candidate_text", "candidate_words", "words_of_the_candidate", "cand",
        "cand_span", "hypothesis", "prediction", "predicted", "generated", "in_candidate",
    ),
    "severity": (
        "severity", "significance", "clinical_significance", "clinically_significant", "significant", "is_significant",
        "is_clinically_significant",
    ),
    "explanation": ("explanation", "reason", "rationale", "reasoning", "comment", "justification", "description"),
}  # fmt: skip
_BEGIN = re.compile(r"[\[{]")
_EMPTY = ("", "none", "n/a", "na", "null", "-")
# Values deeper than this, or more places to begin than this, are no verdict.
_PLACES = 200


def find(text: str) -> tuple[Any, str]:
    """The JSON value that a text holds or consists of, and the rest of the text: a list of objects, or an object.

    Objects one after the other, as in JSON Lines, are a list. None if there is no such value. Raises Unreadable.
    """
    decoder = json.JSONDecoder(strict=False)  # models break lines inside of strings
    found: list[Any] = []
    rest: list[str] = []
    at = before = 0
    for _ in range(_PLACES):
        match = _BEGIN.search(text, at)
        if match is None:
            break
        try:
            value, at = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            at = match.end()
            continue
        if _speaks(value):
            found.append(value)
            rest.append(text[before : match.start()])
            before = at
    outside = "\n".join([*rest, text[before:]])
    if not found:
        return None, text
    if all(isinstance(value, dict) and _is_error(value) for value in found) and len(found) > 1:
        return found, outside
    if all(value == found[0] for value in found):
        return found[0], outside
    raise Unreadable("has several answers in JSON")


def read(value: Any, *, severities: bool) -> list[Line]:
    """The errors of a value that `find` found. Raises Unreadable."""
    return [_line(item, severity, severities) for item, severity in _items(value)]


def _speaks(value: Any) -> bool:
    """Whether a value can be an answer: [1] in a sentence is none."""
    if isinstance(value, dict):
        return _is_error(value) or any(name in _LISTS or _group(name) for name in _named(value))
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_error(value: Mapping[str, Any]) -> bool:
    named = _named(value)
    sides = [any(name in named for name in _NAMES[side]) for side in ("reference", "candidate")]
    return any(name in named for name in _NAMES["type"]) and (any(sides) or "severity" in named or "aspect" in named)


def _items(value: Any) -> Iterator[tuple[Any, str | None]]:
    """Each error's object, with the severity of the list that it stands in."""
    if isinstance(value, list):
        yield from ((item, None) for item in value)
        return
    if not isinstance(value, dict):
        raise Unreadable("has no list of errors in its JSON")
    if _is_error(value):
        yield value, None
        return
    named = _named(value)
    grouped = {name: group for name in named if (group := _group(name)) and isinstance(named[name], list)}
    if grouped:
        if set(grouped.values()) != set(_BY_SEVERITY):
            raise Unreadable("has errors of one severity alone in its JSON")
        for name, group in grouped.items():
            yield from ((item, group) for item in named[name])
        return
    for name in _LISTS:
        if name in named:
            inner = named[name]
            if isinstance(inner, str) and words.nothing(inner):
                return
            yield from _items(inner)
            return
    raise Unreadable("has no list of errors in its JSON")


def _group(name: str) -> str | None:
    return next((severity for severity, names in _BY_SEVERITY.items() if name in names), None)


def _line(item: Any, severity: str | None, severities: bool) -> Line:
    if not isinstance(item, dict):
        raise Unreadable("has an error in its JSON that is no object")
    repairs: Counter[str] = Counter(json=1)
    named = _named(item)
    values = {part: _value(named, names) for part, names in _NAMES.items()}
    reference, candidate = (_span(values[side]) for side in ("reference", "candidate"))
    kind = words.kind(values["type"]) if isinstance(values["type"], str) else None
    if kind is None:
        raise Unreadable("has an error in its JSON without a known type")
    aspect = None
    if isinstance(values["aspect"], str):
        aspect, near = words.aspect(values["aspect"])
        repairs["aspect spelling"] += near
    if aspect is None:
        repairs["unknown aspect" if values["aspect"] else "no aspect"] += 1
    severity = severity or _severity(values["severity"])
    if severities and severity is None:
        raise Unreadable("has an error in its JSON without a severity")
    explanation = values["explanation"] if isinstance(values["explanation"], str) else None
    error = Error(kind, aspect or "", reference, candidate, severity if severities else None, explanation or None)
    return Line(error, +repairs)


def _value(named: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((named[name] for name in names if named.get(name) is not None), None)


def _span(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable("has a span in its JSON that is no text")
    return "" if value.strip().casefold() in _EMPTY else value


def _severity(value: Any) -> str | None:
    if isinstance(value, bool):
        return "significant" if value else "insignificant"
    return words.severity(value)[0] if isinstance(value, str) else None


def _named(value: Mapping[str, Any]) -> dict[str, Any]:
    return {re.sub(r"\W+", "_", str(name).strip().casefold()).strip("_"): inner for name, inner in value.items()}


def severities(text: str) -> list[str] | None:
    """The severities of a second pass in JSON: a list of words, or of objects with one each; None if it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        named = _named(value)
        value = next((named[name] for name in ("severities", *_LISTS) if isinstance(named.get(name), list)), None)
    if not isinstance(value, list):
        return None
    found = [_severity(_value(_named(item), _NAMES["severity"]) if isinstance(item, dict) else item) for item in value]
    if None in found:
        raise Unreadable("has no severity for an error in its JSON")
    return [severity for severity in found if severity is not None]
