"""Where in a report a finding's part of the body is spoken of: what would rule it out, and where a sentence about it
belongs."""

import re

from reeval.synth.analysis import Analysis
from reeval.synth.edit import line_end
from reeval.synth.injectors.passages import leaned_on, sections
from reeval.synth.statements import Normal
from reeval.synth.terms import Finding

# A sentence that rules something out, whether the analysis knows it or not.
_RULING = re.compile(
    r"\b(?:no|not|without|normal|negative|unremarkable|clear|free|intact|within|stable|unchanged|midline|sharp|nor|neither"
    r"|aerated|limits)\b"
)
# Words that tell which space of the body a sentence speaks of; a statement about it may rule a finding out.
SPACES = {
    "lung": re.compile(r"\b(?:lungs?|airspace|air space|pulmonary|parenchym\w+|cardiopulmonary)\b"),
    "pleura": re.compile(r"\b(?:pleura\w*|costophrenic|sulc\w+|hemithora\w+)\b"),
    "heart": re.compile(r"\b(?:heart|cardi\w+)\b"),
    "mediastinum": re.compile(r"\b(?:mediastin\w+|cardiomediastin\w+|hil\w+|trachea\w*|contours?|silhouettes?)\b"),
    "vessels": re.compile(r"\b(?:aort\w*|mediastin\w+|cardiomediastin\w+|vessels?|vascul\w+|contours?|silhouettes?)\b"),
    "bone": re.compile(r"\b(?:bon\w+|osseous|skelet\w+|spine|ribs?|vertebra\w*|thorax|structures|clavic\w+)\b"),
    "abdomen": re.compile(r"\b(?:abdom\w+|diaphragm\w*|hemidiaphragm\w*|bowel|air)\b"),
    "chest wall": re.compile(r"\b(?:soft tissues?|chest wall)\b"),
}
_WHOLE = re.compile(r"\b(?:chest|cxr|study|exam\w*|acute|active|abnormalit\w+|disease|findings?|process\w*)\b")


def contradicts(normal: Normal, finding: Finding) -> bool:
    return normal.rules_out(finding) or ("whole study" in normal.names and finding.weight != "benign")


def words_of(analysis: Analysis, index: int) -> str:
    sentence = analysis.sentence(index)
    return analysis.document.lower[sentence.start : sentence.end]


def unruled(analysis: Analysis, finding: Finding, handled: set[int], *, benign: bool = False) -> bool:
    """Whether no other sentence rules the finding out in words that the analysis does not know."""
    for index, sentence in enumerate(analysis.document.sentences):
        if index in handled or sentence.section == "other":
            continue
        words = words_of(analysis, index)
        if not _RULING.search(words):
            continue
        normal = analysis.normal_of.get(index)
        if normal and not contradicts(normal, finding) and not SPACES[finding.space].search(words):
            continue
        if SPACES[finding.space].search(words):
            return False
        if (
            not benign
            and not normal
            and (_WHOLE.search(words) or not any(pattern.search(words) for pattern in SPACES.values()))
        ):
            return False
    return True


def anchor_of(analysis: Analysis, finding: Finding, concept: str, gone: set[int]) -> int | None:
    """The sentence that an added one follows: where the report denied the finding, else the last about the same space
    of the body, else the last of the findings."""
    groups = sections(analysis)
    members = [i for i in groups.get("findings") or groups.get("") or groups.get("impression", []) if i not in gone]
    if not members:
        return None
    for wanted in (
        lambda i: any(m.finding.concept == concept for m in analysis.by_sentence[i]),
        lambda i: any(m.finding.space == finding.space for m in analysis.by_sentence[i]),
        lambda i: finding.space in getattr(analysis.normal_of.get(i), "spaces", ()),
    ):
        fitting = [i for i in members if wanted(i) and analysis.clean(i)]
        if fitting and not leaned_on(analysis, [fitting[-1]]):
            return line_end(analysis.document, fitting[-1])
    return members[-1]
