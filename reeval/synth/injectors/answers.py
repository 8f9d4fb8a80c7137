"""What becomes of a report's statements of normality when a finding is there that they rule out."""

import dataclasses
import re

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change
from reeval.synth.injectors.passages import exchanged, sections
from reeval.synth.injectors.spaces import contradicts, words_of
from reeval.synth.mentions import ABSENT
from reeval.synth.statements import Normal
from reeval.synth.terms import Finding

# One statement about two structures.
_ONE = re.compile(r"\bcardio ?mediastinal\b")
# What may be named beside it.
_MORE = re.compile(r"\b(?:heart|vascul\w+|hil\w+|pulmonary|aort\w+)\b")
_REST = re.compile(r"(?:no|normal|negative|unremarkable)\b")
CLEAR = re.compile(r"\blungs (?:are|appear|remain) (?=clear\b)")


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of the statements of normality that a finding contradicts.

    gone: sentences that go. clear: the sentence of clear lungs, which are "otherwise clear" then.
    told: where the impression tells the finding instead. handled: all sentences of these.
    """

    changes: tuple[Change, ...]
    gone: frozenset[int]
    clear: int | None
    told: tuple[int, int] | None
    handled: frozenset[int]


def answer_to(analysis: Analysis, finding: Finding, fragment: str, *, beside: bool) -> Answer | None:
    """None where a statement can't be answered. `beside`: the impression's statement that all is normal stays where it
    can, as "Otherwise no acute disease."; else the finding takes its place."""
    changes: tuple[Change, ...] | None = None
    gone: set[int] = set()
    clear: int | None = None
    told: tuple[int, int] | None = None
    for normal in analysis.normals:
        if not contradicts(normal, finding):
            continue
        index = normal.sentence
        sentence = analysis.sentence(index)
        if not analysis.clean(index):
            return None
        impression = sentence.section == "impression"
        if finding.space == "lung" and normal.names == ("lungs",) and clear is None and may_lead(analysis, index):
            clear = index
        elif not normal.whole:
            return None
        elif impression and told is None and "whole study" in normal.names:
            changes = _before_rest(analysis, index, fragment) if beside else None
            changes = changes or exchanged(analysis, index, fragment)
            told = (changes[0].start, changes[0].end)
        elif not _says_only(analysis, normal):
            return None
        else:
            gone.add(index)
    handled = frozenset(n.sentence for n in analysis.normals if contradicts(n, finding))
    if clear is not None and told and "findings" not in sections(analysis):
        return None  # one statement would have to stand in two places
    return Answer(changes or (), frozenset(gone), clear, told, handled)


def _before_rest(analysis: Analysis, index: int, fragment: str) -> tuple[Change, ...] | None:
    """The finding before a statement that the rest is normal; None where "otherwise" would not fit."""
    start = analysis.sentence(index).start
    if not _REST.match(words_of(analysis, index)):
        return None
    document = analysis.document
    otherwise = document.cased(f"Otherwise {document.lower[start]}")
    return Change(start, start, document.cased(f"{fragment} ")), Change(start, start + 1, otherwise)


def _says_only(analysis: Analysis, normal: Normal) -> bool:
    """Whether nothing else is lost when a statement of normality goes."""
    if any(mention.polarity != ABSENT for mention in analysis.by_sentence[normal.sentence]):
        return False
    words = words_of(analysis, normal.sentence)
    return len(normal.names) == 1 or bool(_ONE.search(words) and not _MORE.search(words))


def may_lead(analysis: Analysis, index: int) -> bool:
    """Whether a sentence says that the lungs are clear, so that another may be put before it."""
    sentence = analysis.sentence(index)
    text = analysis.document.text
    return bool(CLEAR.search(words_of(analysis, index))) and not sentence.item and text[sentence.start].isupper()


def put_before(analysis: Analysis, index: int, text: str) -> tuple[tuple[Change, ...], int]:
    """A sentence put before sentence `index`, which says that the lungs are clear and now says "otherwise clear"."""
    start = analysis.sentence(index).start
    clear = CLEAR.search(words_of(analysis, index))
    assert clear is not None
    at, cased = start + clear.end(), analysis.document.cased
    return (Change(start, start, cased(f"{text} ")), Change(at, at, cased("otherwise "))), start
