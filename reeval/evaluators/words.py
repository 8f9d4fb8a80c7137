"""The words that models use for types, aspects, severities and "nothing": what each stands for in the verdict format.

Only words that can mean one thing are here. A word that is not is never guessed at, least of all a severity.
"""

import difflib
import re
from collections.abc import Mapping

from reeval.taxonomy import ASPECTS, SEVERITIES, TYPES

_TYPES: Mapping[str, str] = {
    "omission": "omissions omitted omit missing missed missing_finding missed_finding deletion deleted",
    "fabrication": (
        "fabrications fabricated hallucination hallucinations hallucinated addition added false_finding false_report "
        "false_positive insertion invented commission extra extra_finding"
    ),
    "inaccuracy": (
        "inaccuracies inaccurate incorrect mismatch discrepancy distortion substitution contradiction wrong "
        "misinterpretation mischaracterization modification changed false_description"
    ),
}
_ASPECTS: Mapping[str, str] = {
    "finding": "findings presence observation observations abnormality abnormal_finding finding_presence",
    "laterality": "side sides sidedness",
    "location": "site anatomic_location anatomical_location anatomy localization localisation",
    "degree": "severity severity_of_finding extent grade intensity",
    "measurement": "measurements measure numeric_measurement",
    "count": "number quantity counts multiplicity",
    "device": "devices support_device support_devices line tube lines_and_tubes hardware device_position",
    "comparison": "temporal change progression temporal_change comparison_to_prior prior interval_change",
    "certainty": "uncertainty hedging hedge confidence",
    "diagnosis": "diagnoses interpretation impression diagnostic",
    "recommendation": "recommendations follow_up followup advice management_recommendation communication",
    "wording": "language spelling typo typos grammar phrasing style typographical",
}
_SEVERITIES: Mapping[str, str] = {
    "significant": "clinically_significant major critical serious severe",
    "insignificant": (
        "clinically_insignificant not_significant not_clinically_significant clinically_not_significant "
        "non_significant nonsignificant non_clinically_significant clinically_non_significant minor negligible trivial "
        "harmless unimportant"
    ),
}


def _table(names: tuple[str, ...], more: Mapping[str, str]) -> dict[str, str]:
    return {name: name for name in names} | {word: name for name in names for word in more[name].split()}


_TYPE_OF, _ASPECT_OF = _table(TYPES, _TYPES), _table(ASPECTS, _ASPECTS)
_SEVERITY_OF = _table(SEVERITIES, _SEVERITIES)
_SPELLED = sorted((word.replace("_", r"[\s_-]*") for word in _SEVERITY_OF), key=len, reverse=True)
# A severity, and what may follow it: the end, or words set off from it.
_SEVERITY = re.compile(
    rf"({'|'.join(_SPELLED)})(?:\s+(?:error|difference|discrepancy))?(?:[.!]?$|\s*[-(:;,.–—]\s*(.*)$)", re.I
)
_ANY_SEVERITY = re.compile(rf"\b(?:{'|'.join(_SPELLED)})\b", re.I)
_LABEL = re.compile(r"(?:severity|significance|clinical significance|type|error type|category|aspect)\s*[:=]\s*", re.I)
# Of which the nearest of two might be the wrong one.
_NEAR = 0.84

# A whole line that says that there is nothing.
# Of all that was compared: nothing in the lungs is not nothing.
_ALL = r"(?=(?:\w+\s+){0,7}(?:reports?|candidates?|references?|texts?|comparison|them|two|both)\b)"
_WHERE = rf"(?:\s+(?:between|in|of|with|from)\s+{_ALL}(?:the\s+)?(?:\w+\s+){{0,6}}\w+)?"
_FOUND = r"""(?:\s+(?:were|was|are|is|have\ been|to\ be))?
    (?:\s+(?:found|identified|detected|noted|observed|present|seen|list(?:ed)?|report(?:ed)?))?"""
_THING = r"(?:errors?|differences?|discrepanc(?:y|ies)|issues?)"
_NONE = re.compile(
    rf"""(?:(?:final\s+)?(?:answer|verdict|output|errors?|differences?|result)\s*:\s*)?(?:
      none|n/a|nil
    | (?:there\s+(?:are|is|were)\s+)?(?:no|zero|0)\s+(?:(?:clinically\s+)?significant\s+)?(?:\w+\s+)?
      {_THING}{_FOUND}{_WHERE}{_FOUND}
    | (?:the\s+)?(?:two\s+|both\s+)?reports\s+are\s+(?:\w+ly\s+)?(?:identical|equivalent)
      (?:\s+in\s+(?:content|meaning))?
    )\s*[.!]?""",
    re.I | re.X,
)
# "No other errors", "no further differences": of what is beside those named before.
_BESIDE = re.compile(r"\b(?:other|further|additional|more|remaining|new|major|minor|only|except|but)\b", re.I)


def kind(text: str) -> str | None:
    """The type that a word stands for."""
    return _TYPE_OF.get(_plain(text))


def aspect(text: str) -> tuple[str | None, bool]:
    """The aspect that a word stands for, and whether it was only near to it."""
    word = _plain(text)
    if word in _ASPECT_OF:
        return _ASPECT_OF[word], False
    near = difflib.get_close_matches(word, ASPECTS, n=1, cutoff=_NEAR)
    return (near[0], True) if near else (None, False)


def severity(text: str) -> tuple[str | None, str]:
    """The severity that a text begins with, and the words after it; None for one that is none, or two."""
    match = _SEVERITY.fullmatch(_LABEL.sub("", text.strip(" *_`\t"), count=1).strip(" *_`\t"))
    if match is None:
        return None, ""
    rest = match[2] or ""
    if re.fullmatch(r"[\d\s,;&()]+|\d.*", rest):  # how many, or which of them, are so
        return None, ""
    if _ANY_SEVERITY.match(rest) or re.match(r"(?:or|and|/|vs)\b", rest, re.I):
        return None, ""
    return _SEVERITY_OF[_plain(match[1])], rest.strip(" )*_`")


def nothing(line: str) -> bool:
    """Whether a line says that there is no error, and nothing else."""
    text = line.strip().strip("*_`\"'“”").strip()
    return _NONE.fullmatch(text) is not None and _BESIDE.search(text) is None


def _plain(text: str) -> str:
    text = _LABEL.sub("", text.strip(" *_`\t\"'“”"), count=1)
    return re.sub(r"[\s_-]+", "_", text.strip(" *_`.\t\"'“”").casefold())
