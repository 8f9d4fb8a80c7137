"""A free-text report cut into sentences, with every offset into the text as it stands.

Nothing is normalised: an edit must leave the rest of the report untouched, odd spacing and placeholders included.
"""

import dataclasses
import re
from functools import cached_property

# A section's or an organ's heading: at the start of a line, or after the end of a sentence for the well-known ones.
_SECTIONS = {
    "findings": "findings",
    "finding": "findings",
    "impression": "impression",
    "impressions": "impression",
    "conclusion": "impression",
    "conclusions": "impression",
    "opinion": "impression",
    "findings/impression": "findings",
    "findings and impression": "findings",
    "indication": "other",
    "indications": "other",
    "history": "other",
    "clinical history": "other",
    "clinical indication": "other",
    "clinical information": "other",
    "reason for exam": "other",
    "reason for examination": "other",
    "comparison": "other",
    "comparisons": "other",
    "technique": "other",
    "exam": "other",
    "examination": "other",
    "study": "other",
    "procedure": "other",
    "recommendation": "impression",
    "recommendations": "impression",
    "notification": "other",
    "final report": "other",
    "wet read": "other",
}
_NAMED = "|".join(sorted(map(re.escape, _SECTIONS), key=len, reverse=True))
_HEADING = re.compile(rf"(?:^|(?<=[\s.]))(?P<name>{_NAMED})[ \t]*:[ \t]*", re.IGNORECASE)
_ORGAN = re.compile(
    r"^[ \t]*(?:[-*•][ \t]*)?(?P<name>[A-Z][A-Za-z]+(?:[ /&,]+[A-Za-z]+){0,4})[ \t]*:[ \t]+", re.MULTILINE
)
_BULLET = re.compile(r"^[ \t]*(?:[-*•]|\(?\d{1,2}[.)])(?=[ \t]+\S)[ \t]+", re.MULTILINE)
_INLINE_NUMBER = re.compile(r"(?:^|(?<=\s))(\d{1,2})[.)][ \t]*(?=[A-Z_])", re.MULTILINE)
# A full stop ends a sentence before white space or a capital, unless it belongs to a number or an abbreviation.
_STOP = re.compile(r"[.!?]+(?=\s|$|[A-Z_])")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:dr|drs|mr|mrs|ms|vs|approx|cf|e\.g|i\.e|etc|no|st|fig|[a-z])$", re.IGNORECASE
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
PLACEHOLDER = re.compile(r"X{3,}|x{4,}|_{2,}|\[\*\*.*?\*\*\]")


@dataclasses.dataclass(frozen=True, slots=True)
class Sentence:
    """text[start:end] of a report, its full stop included, list number and heading not.

    section: "findings", "impression", "other" or "" where the report has no headings.
    heading: the organ's heading it stands under on its line, as written; else "".
    item: whether it begins a list item.
    """

    start: int
    end: int
    section: str
    heading: str
    item: bool


@dataclasses.dataclass(frozen=True)
class Document:
    """A report and its sentences in order."""

    text: str
    sentences: tuple[Sentence, ...]

    @cached_property
    def capitals(self) -> bool:
        """Whether the report is written in capitals."""
        letters = [c for c in PLACEHOLDER.sub("", self.text) if c.isalpha()]
        return bool(letters) and sum(c.isupper() for c in letters) > 0.9 * len(letters)

    @cached_property
    def lower(self) -> str:
        """The text in lower case, at the same offsets."""
        lower = self.text.lower()
        # A few characters change their length in lower case.
        return (
            lower
            if len(lower) == len(self.text)
            else "".join(c.lower() if len(c.lower()) == 1 else c for c in self.text)
        )

    def of(self, sentence: Sentence) -> str:
        return self.text[sentence.start : sentence.end]

    def cased(self, new: str) -> str:
        """New words as the report is written: in capitals, if it is."""
        return new.upper() if self.capitals else new

    def begins(self, offset: int) -> bool:
        """Whether a sentence begins here."""
        return any(sentence.start == offset for sentence in self.sentences)

    def index(self, offset: int) -> int | None:
        """Which sentence an offset stands in; None between sentences."""
        for index, sentence in enumerate(self.sentences):
            if sentence.start <= offset < sentence.end:
                return index
        return None


def parse(text: str) -> Document:
    """Cut a report into sentences."""
    marks: list[tuple[int, int, str, str]] = []  # start, end, kind, name
    for match in _HEADING.finditer(text):
        marks.append((match.start(), match.end(), "section", _SECTIONS[match["name"].lower()]))
    taken = {start for start, *_ in marks}
    for match in _ORGAN.finditer(text):
        if match.start("name") not in taken and match["name"].lower() not in _SECTIONS:
            marks.append((match.start(), match.end(), "organ", match["name"]))
    for match in _BULLET.finditer(text):
        marks.append((match.start(), match.end(), "item", ""))
    expected = 1
    for match in _INLINE_NUMBER.finditer(text):
        # 1. 2. 3. in running text; a number that does not continue the list is part of a sentence.
        if int(match[1]) in (expected, 1):
            marks.append((match.start(), match.end(), "item", ""))
            expected = int(match[1]) + 1
    marks.sort()
    sentences: list[Sentence] = []
    section = heading = ""
    at = 0
    for start, end, kind, name in [*marks, (len(text), len(text), "end", "")]:
        if start < at:  # a heading within a bullet's mark, or a mark found twice
            at = max(at, end)
        else:
            _cut(text, at, start, section, heading, sentences)
            at = end
        if kind == "section":
            section, heading = name, ""
        elif kind == "organ":
            heading = name
        elif kind == "item":
            heading = ""
        if kind in ("organ", "item"):
            sentences.append(Sentence(end, end, section, heading, True))  # _cut takes its place
    return Document(text, tuple(sentence for sentence in sentences if sentence.start < sentence.end))


def _cut(text: str, start: int, end: int, section: str, heading: str, sentences: list[Sentence]) -> None:
    item = bool(sentences) and sentences[-1].start == sentences[-1].end == start
    pieces = []
    at = start
    for match in _PARAGRAPH.finditer(text, start, end):
        pieces.append((at, match.start()))
        at = match.end()
    pieces.append((at, end))
    for low, high in pieces:
        at = low
        for match in _STOP.finditer(text, low, high):
            if match[0] == "." and (
                _ABBREVIATION.search(text, max(0, match.start() - 8), match.start()) or match.start() == at
            ):
                continue
            _add(text, at, match.end(), section, heading, item, sentences)
            at, item = match.end(), False
        _add(text, at, high, section, heading, item, sentences)


def _add(text: str, start: int, end: int, section: str, heading: str, item: bool, sentences: list[Sentence]) -> None:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end and any(c.isalnum() for c in text[start:end]):
        sentences.append(Sentence(start, end, section, heading, item))
