"""CRIMSON's evaluation of a pair, a JSON object, read into a verdict.

It lists the findings of both reports, each with an id, its words and a clinical significance, and errors:
`false_findings` and `missing_findings` by id, whose significance is that of the finding, and `attribute_errors` of
matched findings, with a severity and the kinds of attributes. Findings are quoted, so that they become spans. Rubric:
arXiv 2603.06183; the format is that of its public code, which `raw_evaluation` of its results has, too.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from reeval.evaluators.lines import Unreadable
from reeval.evaluators.tolerant import Reading, without_thoughts
from reeval.pairs import Error
from reeval.verdicts import Verdict

# What would change what is done, and what would not.
SIGNIFICANCE = {
    "urgent": "significant",
    "actionable_not_urgent": "significant",
    "not_actionable_not_urgent": "insignificant",
    "benign_expected": "insignificant",
}
SEVERITIES = {"significant": "significant", "negligible": "insignificant"}
# Of attribute errors, whose first known kind counts.
ATTRIBUTES = {
    "location": ("inaccuracy", "location"),  # sides as well: CRIMSON has no kind of their own
    "severity": ("inaccuracy", "degree"),
    "descriptor": ("inaccuracy", "finding"),
    "measurement": ("inaccuracy", "measurement"),
    "certainty": ("inaccuracy", "certainty"),
    "unspecific": ("inaccuracy", "finding"),  # the same abnormality in vaguer words
    "overinterpretation": ("fabrication", "diagnosis"),
    "temporal": ("inaccuracy", "comparison"),
}
_WRAPPERS = ("raw_evaluation", "evaluation", "crimson", "result", "output", "response", "text", "raw")


def holds(row: Mapping[str, Any]) -> bool:
    """Whether an object is an evaluation."""
    return isinstance(row.get("errors"), dict) and "reference_findings" in row


def read(given: Any) -> Reading:
    """The verdict of an evaluation, or of a text or object that holds one; or why there is none."""
    repairs: Counter[str] = Counter()
    try:
        return Reading(Verdict(tuple(_errors(_evaluation(given, repairs), repairs))), dict(repairs))
    except Unreadable as error:
        return Reading(None, {}, str(error))


def _evaluation(given: Any, repairs: Counter[str]) -> Mapping[str, Any]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            repairs["json in text"] += 1
            given = _last_object(without_thoughts(given))
    if isinstance(given, dict) and not holds(given):
        inner = next((given[name] for name in _WRAPPERS if given.get(name)), None)
        if inner is not None:
            return _evaluation(inner, repairs)
    if not isinstance(given, dict) or not isinstance(given.get("errors"), dict):
        raise Unreadable("no evaluation with its errors")
    return given


def _last_object(text: str) -> Any:
    found = None
    decoder = json.JSONDecoder(strict=False)
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        found = value if isinstance(value, dict) and "errors" in value else found
        at = text.find("{", end)
    return found


def _errors(row: Mapping[str, Any], repairs: Counter[str]) -> list[Error]:
    reference, candidate = (_findings(row.get(name)) for name in ("reference_findings", "predicted_findings"))
    listed = {name: _list(row["errors"], name) for name in ("false_findings", "missing_findings", "attribute_errors")}
    found = []
    for item in listed["false_findings"]:
        words, severity = _finding(item, candidate, "pred_id")
        found.append(Error("fabrication", "finding", "", words, severity))
    for item in listed["missing_findings"]:
        words, severity = _finding(item, reference, "ref_id")
        found.append(Error("omission", "finding", words, "", severity))
    for item in listed["attribute_errors"]:
        if not isinstance(item, dict):
            raise Unreadable("an attribute error is no object")
        severity = SEVERITIES.get(str(item.get("severity")).strip().casefold(), "")
        if not severity:
            raise Unreadable("an attribute error has no known severity")
        kinds = item.get("error_types") or []
        known = [ATTRIBUTES[kind] for kind in kinds if kind in ATTRIBUTES] if isinstance(kinds, list) else []
        if not known:
            repairs["unknown aspect"] += 1
        spans = [_words(findings, item.get(name)) for findings, name in ((reference, "ref_id"), (candidate, "pred_id"))]
        said = item.get("explanation")
        kind, aspect = known[0] if known else ("inaccuracy", "")
        found.append(
            Error(kind, aspect, spans[0], spans[1], severity, said if isinstance(said, str) and said else None)
        )
    return found


def _list(errors: Mapping[str, Any], name: str) -> list[Any]:
    value = errors.get(name)
    if not isinstance(value, list):
        raise Unreadable(f"{name} is no list")
    return value


def _findings(listed: Any) -> dict[str, Mapping[str, Any]]:
    if not isinstance(listed, list):
        raise Unreadable("no list of findings")
    return {str(item.get("id")): item for item in listed if isinstance(item, dict)}


def _finding(item: Any, findings: Mapping[str, Mapping[str, Any]], name: str) -> tuple[str, str]:
    """The words of a finding that is an error, and its severity."""
    if isinstance(item, dict):
        item = item.get(name) or item.get("id")
    named = findings.get(str(item))
    if named is None:
        raise Unreadable("an error names a finding that is not listed")
    severity = SIGNIFICANCE.get(str(named.get("clinical_significance")).strip().casefold())
    if severity is None:
        raise Unreadable("a finding that is an error has no known significance")
    return _words(findings, item), severity


def _words(findings: Mapping[str, Mapping[str, Any]], key: Any) -> str:
    words = findings.get(str(key), {}).get("finding")
    return words if isinstance(words, str) else ""
