"""GREEN's analysis of a pair, read into a verdict: its six categories have a type and an aspect here each.

    [Clinically Significant Errors]:
    (b) Missing a finding present in the reference: 2. words; words
    [Clinically Insignificant Errors]:
    [Matched Findings]:

The letter decides the category, the number how many errors it has. What GREEN writes of an error describes it and
quotes neither report, so that it becomes the explanation, and spans are empty. Format: github.com/Stanford-AIMI/GREEN.
"""

import re
from collections import Counter

from reeval.evaluators.lines import Unreadable
from reeval.evaluators.tolerant import Reading
from reeval.pairs import Error
from reeval.verdicts import Verdict

CATEGORIES = {
    "a": ("fabrication", "finding"),  # false report of a finding in the candidate
    "b": ("omission", "finding"),  # missing a finding present in the reference
    "c": ("inaccuracy", "location"),  # misidentification of a finding's anatomic location
    "d": ("inaccuracy", "degree"),  # misassessment of the severity of a finding
    "e": ("fabrication", "comparison"),  # mentioning a comparison that isn't in the reference
    "f": ("omission", "comparison"),  # omitting a comparison detailing a change from a prior study
}
_SECTIONS = {"significant": "clinically significant errors", "insignificant": "clinically insignificant errors"}
_HEADING = re.compile(r"^[ \t*#]*\[([A-Za-z ]{3,40})\][ \t*]*:?[ \t*]*", re.M)
_CATEGORY = re.compile(r"^[ \t*•-]*\(?[ \t]*([a-f1-6])[ \t]*\)[ \t]*([^:\n]*):[ \t*]*(.*)$", re.M | re.I)
# Of other keyboards and of web pages.
_PLAIN = str.maketrans("：（）\u00a0", ":() ")
_COUNT = re.compile(r"(\d{1,3})(?:\.(?!\d)|\s*$|\s*[:;(-])\s*(.*)", re.S)
_NOTHING = re.compile(r"(?:none|no|n/a|0)\b.*", re.I | re.S)
_PLACEHOLDER = re.compile(r"<[^<>]*>")


def read(text: str) -> Reading:
    """The verdict, or why there is none."""
    repairs: Counter[str] = Counter()
    try:
        errors = _errors(text, repairs)
    except Unreadable as error:
        return Reading(None, {}, str(error))
    return Reading(Verdict(tuple(errors)), dict(repairs))


def _errors(text: str, repairs: Counter[str]) -> list[Error]:
    # The prompt may stand before the answer, with the same headings: the last ones count.
    sections: dict[str, str] = {}
    text = text.translate(_PLAIN)
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=False):
        name = " ".join(heading[1].split()).casefold()
        body = text[heading.end() : end].strip()
        if name in sections and name in _SECTIONS.values() and not _PLACEHOLDER.search(sections[name]):
            repairs["repeated section"] += 1
        sections[name] = body
    if _SECTIONS["significant"] not in sections:
        raise Unreadable("no section of clinically significant errors")
    if _SECTIONS["insignificant"] not in sections:
        # Its end was lost: what would have stood there changes no pair's significance.
        repairs["no insignificant section"] += 1
    found: list[Error] = []
    last = " ".join(headings[-1][1].split()).casefold()
    for severity, name in _SECTIONS.items():
        found += _of_section(sections.get(name, "none"), severity, repairs, ends=name != last)
    return found


def _of_section(body: str, severity: str, repairs: Counter[str], *, ends: bool) -> list[Error]:
    """Of one severity.

    Args:
        ends: whether another section follows; where none does, its end may have been lost.
    """
    rows = list(_CATEGORY.finditer(body))
    if any(_PLACEHOLDER.search(row[0]) for row in rows) or "<Error" in body:
        raise Unreadable(f"the section of {severity} errors repeats the prompt")
    if not rows:
        if not _NOTHING.fullmatch(body):
            raise Unreadable(f"the section of {severity} errors has no categories")
        return []
    letters = [row[1].lower() if row[1].isalpha() else "abcdef"[int(row[1]) - 1] for row in rows]
    if severity == "significant" and len(set(letters)) < len(CATEGORIES):
        if not ends:
            raise Unreadable("the section of significant errors is cut short")
        # One of the others might be there in a form that is not known.
        if re.search(r"[\d:]", _CATEGORY.sub("", body)):
            raise Unreadable("the section of significant errors has a line that is no category")
    found: list[Error] = []
    for letter, row in zip(letters, rows, strict=True):
        kind, aspect = CATEGORIES[letter]
        match = _COUNT.match(row[3].strip())
        if match is None:
            if _NOTHING.fullmatch(row[3].strip()) is None:
                raise Unreadable(f"category ({letter}) of {severity} errors has no count")
            repairs["no count"] += 1
            continue
        count = int(match[1])
        listed = [part.strip(" .") for part in match[2].split(";") if part.strip(" .")]
        if count and len(listed) != count:
            repairs["descriptions"] += 1
        for number in range(count):
            said = listed[number] if len(listed) == count else None
            found.append(Error(kind, aspect, "", "", severity, said))
    return found
