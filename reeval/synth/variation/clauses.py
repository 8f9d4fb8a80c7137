"""The clause that a sentence is: its words without lead ("Specifically,") and full stop, and new words in it."""

import dataclasses
import re
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis
from reeval.synth.document import Document
from reeval.synth.edit import Change, fitted
from reeval.synth.english import indefinite

_LEAD = re.compile(
    r"(?:specifically|otherwise|overall|currently|again|also|additionally|in addition|in particular"
    r"|at this time|on this exam(?:ination)?|on today's exam(?:ination)?),?\s+"
)
_STOP = re.compile(r"[.;!\s]*$")
# Names that keep their capital within a sentence.
_NAMED = re.compile(r"(?:Port|Swan|Dobhoff|Mediport|Hickman|Kerley|Bochdalek|Morgagni|Schmorl|Harrington)\b")


@dataclasses.dataclass(frozen=True, slots=True)
class Clause:
    """text[start:end] of sentence `index`, `words` the same in lower case and on one line. Its lead and its full stop
    stand outside."""

    index: int
    start: int
    end: int
    words: str


def table(name: str) -> dict[str, Any]:
    """A TOML file of this package."""
    return toml.table(f"variation/{name}.toml")


def clause(document: Document, index: int) -> Clause:
    """The clause of a sentence."""
    sentence = document.sentences[index]
    lower = document.lower
    start, end = sentence.start, sentence.end
    lead = _LEAD.match(lower, start, end)
    start = lead.end() if lead else start
    stop = _STOP.search(lower, start, end)
    assert stop is not None, "the pattern matches the empty string"
    return Clause(index, start, stop.start(), lower[start : stop.start()].replace("\n", " "))


def clauses(analysis: Analysis) -> list[Clause]:
    """The clauses that can be written anew as a whole: no placeholder, not in a section about the study."""
    document = analysis.document
    return [
        found
        for found in (clause(document, index) for index in range(len(document.sentences)))
        if found.start < found.end
        and analysis.clean(found.index)
        and document.sentences[found.index].section != "other"
    ]


def running(document: Document, start: int, end: int) -> str:
    """text[start:end] as it would stand within a sentence."""
    text = document.text[start:end]
    if document.capitals:
        return text.lower()
    if len(text) > 1 and text[0].isupper() and (text[1].islower() or text[1] == " ") and not _NAMED.match(text):
        return text[0].lower() + text[1:]
    return text


def rewritten(document: Document, found: Clause, new: str) -> Change | None:
    """The clause in new words; None where they are the old ones."""
    new = " ".join(new.split())
    if new.lower() == " ".join(found.words.split()):
        return None
    return Change(found.start, found.end, fitted(document, found.start, new))


def any_of(words: list[str]) -> str:
    """A pattern of any of these phrases, the longest first."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def article(phrase: str) -> str:
    """The phrase with its indefinite article."""
    return f"{indefinite(phrase)} {phrase}"


def neighbours(analysis: Analysis, index: int) -> bool:
    """Whether the next sentence follows in the same run of prose."""
    one, other = analysis.sentence(index), analysis.sentence(index + 1)
    gap = analysis.document.text[one.end : other.start]
    same = one.section == other.section and one.heading == other.heading and not other.item
    return same and gap.strip() == "" and gap.count("\n") <= 1
