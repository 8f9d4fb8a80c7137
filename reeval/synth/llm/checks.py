"""Whether a model's answer fulfils the specification: a check that fails has a name to count and a remedy to say."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from reeval.pairs import Error, Pair
from reeval.taxonomy import RULES

# What a report states, each fact as a value that equals another's where both say the same.
Facts = Callable[[str], Counter[Any]]

SHORTEST, LONGEST = 0.4, 2.5  # of the draft's length in words

# The words of the task, of its format and of chat, where neither report has them.
_LEFTOVERS = re.compile(
    r"""```|</?\w+>|\\[nt"]|[{}]|\[[a-z ]+\]|[\x00-\x08\x0b-\x1f]|\b(?:
    (?:draft|reference|candidate)(?:'s)?\ (?:report|span|text|words)|\w+_span|json
    |(?:in|un)?significant\ errors?|omission|fabrication|inaccuracy|errors?\ \d|listed\ errors?|rewritten|rephrased
    |as\ (?:requested|instructed|specified)|here(?:'s|\ is)\ (?:the|your|a)|i\ (?:have|am|cannot|can't|will)
    |language\ model)\b|\b(?:sure|certainly)[,!]|\bseverity\s?:""",
    re.IGNORECASE | re.VERBOSE,
)
_SIZE = re.compile(
    r"(?P<numbers>\d+(?:\.\d+)?(?:\s*(?:x|×|by)\s*\d+(?:\.\d+)?)*)[\s-]*(?P<unit>mm|cm|millimet|centimet)",
    re.IGNORECASE,
)
_ITEM = re.compile(r"(?:^|(?<=\s))\(?\d{1,2}[.)](?=\s)")
_WORDS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NUMBER = re.compile(rf"\d+(?:\.\d+)?|\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
# What findings do not tell of: whether the report gives advice.
_ADVICE = re.compile(
    r"recommend|advis|suggest(?:ed)? (?:ct|follow)|follow[- ]?up|further (?:evaluat|imag|work)", re.IGNORECASE
)


class Unmet(Exception):
    """A check that an answer fails. `reason` names it; `remedy` tells the model, in no words of a report."""

    def __init__(self, reason: str, remedy: str):
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def candidate(draft: Pair, text: str, facts: Facts) -> Pair:
    """The pair that an answer gives: the draft's with another candidate and where its errors now stand.

    The draft is right by construction, so what it states is what the candidate has to state: the same facts, each
    said once or more. That holds the errors in place and everything outside of them.

    Raises:
        Unmet: the first check that fails.
    """
    assert draft.errors is not None
    answer = _parsed(text)
    written, spans = _fields(answer)
    if " ".join(written.split()).lower() in (" ".join(r.split()).lower() for r in (draft.reference, draft.candidate)):
        raise Unmet("unchanged", "Your report repeats a given one: write it in other words.")
    ratio = len(written.split()) / len(draft.candidate.split())
    if not SHORTEST <= ratio <= LONGEST:
        raise Unmet("length", f"Your report is too {'short' if ratio < 1 else 'long'}: keep all content, add none.")
    _no_leftovers(draft, written)
    if len(spans) != len(draft.errors):
        raise Unmet("error count", f"You list {len(spans)} errors: list the {len(draft.errors)} given ones in order.")
    errors = [_error(draft, written, *each) for each in zip(range(1, len(spans) + 1), draft.errors, spans, strict=True)]
    _apart(written, [error.candidate_span for error in errors])
    if _numbers(written) != _numbers(draft.candidate):
        raise Unmet("numbers", "Your report gives other sizes or numbers than the draft: keep each, with its unit.")
    if bool(_ADVICE.search(written)) != bool(_ADVICE.search(draft.candidate)):
        raise Unmet("advice", "Your report gives advice where the draft gives none, or none where it gives some.")
    wanted, stated = set(facts(draft.candidate)), set(facts(written))
    if wanted != stated:
        counts = f"{len(wanted - stated)} of the draft's are lost or worded unclearly, {len(stated - wanted)} are new"
        raise Unmet("facts", f"Your report states other facts than the draft: {counts}. State what it states.")
    metadata = {name: value for name, value in draft.metadata.items() if name != "pieces"}
    return replace(draft, candidate=written, errors=tuple(errors), metadata=metadata)


def _parsed(text: str) -> Any:
    """The JSON object of an answer, past a model's thoughts, a fence or words around it."""
    text = text.rpartition("</think>")[2]
    try:
        # Not strict: models break lines inside of strings.
        return json.JSONDecoder(strict=False).raw_decode(text, text.index("{"))[0]
    except (ValueError, RecursionError):
        raise Unmet("json", "Your answer is no JSON object.") from None


def _fields(answer: Any) -> tuple[str, list[tuple[str, ...]]]:
    """The report and the (reference_span, candidate_span) of each error."""
    try:
        written = answer["candidate"].replace("\r\n", "\n").strip()
        spans = []
        for item in answer["errors"] or []:
            spans.append(tuple((item.get(f"{side}_span") or "").strip() for side in ("reference", "candidate")))
        json.dumps([written, spans], ensure_ascii=False).encode()
    except (LookupError, TypeError, AttributeError, UnicodeEncodeError):
        raise Unmet("json", 'Your JSON lacks "candidate", a text, or "errors", a list with two spans each.') from None
    if not written:
        raise Unmet("json", 'Your "candidate" is empty.')
    return written, spans


def _no_leftovers(draft: Pair, written: str) -> None:
    given = f"{draft.reference}\n{draft.candidate}".lower()
    found = {match[0].lower() for match in _LEFTOVERS.finditer(written)}
    found |= {RULES[rule][1].when for rule in draft.metadata.get("rules", []) if RULES[rule][1].when in written}
    if any(words not in given for words in found):
        raise Unmet("leftovers", "Your report speaks of the task or has signs that no report has: write a report.")


def _error(draft: Pair, written: str, number: int, error: Error, spans: tuple[str, ...]) -> Error:
    reference_span, candidate_span = spans
    if reference_span.split() != error.reference_span.split():
        raise Unmet("reference span", f"Error {number}: give reference_span as it was given, errors in order.")
    if bool(candidate_span) != bool(error.candidate_span.strip()):
        need = 'must be ""' if candidate_span else "is missing"
        raise Unmet("candidate span", f"Error {number}: candidate_span {need}.")
    if candidate_span not in written:
        raise Unmet("candidate span", f"Error {number}: candidate_span does not stand in your report.")
    if error.aspect == "wording" and candidate_span != error.candidate_span.strip():
        raise Unmet("wording", f"Error {number}: keep the draft's words letter for letter.")
    same = candidate_span.lower() == error.reference_span.strip().lower()
    if candidate_span and same and candidate_span.lower() != error.candidate_span.strip().lower():
        raise Unmet("candidate span", f"Error {number}: candidate_span is the reference's, so nothing is wrong there.")
    gone = error.reference_span.strip().lower()
    if gone and not _stands(gone, draft.candidate) and _stands(gone, written):
        raise Unmet("error not made", f"Error {number}: what the draft takes away still stands in your report.")
    return replace(error, candidate_span=candidate_span)


def _stands(words: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text.lower()) is not None


def _apart(written: str, spans: list[str]) -> None:
    """Each span needs a place of its own."""
    taken: list[tuple[int, int]] = []
    for span in sorted(filter(None, spans), key=len, reverse=True):
        places = ((m.start(), m.start() + len(span)) for m in re.finditer(f"(?={re.escape(span)})", written))
        place = next((p for p in places if all(p[1] <= start or end <= p[0] for start, end in taken)), None)
        if place is None:
            raise Unmet("candidate span", "Two errors have the same words: give each its own candidate_span.")
        taken.append(place)


def _numbers(text: str) -> set[tuple[float, ...]]:
    """The numbers of a report, of which list items have none; a size in millimetres, whatever its unit."""
    found = set()
    for match in _SIZE.finditer(text):
        scale = 10 if match["unit"].lower().startswith("c") else 1
        found.add((0.0, *(round(float(n) * scale, 3) for n in re.findall(r"\d+(?:\.\d+)?", match["numbers"]))))
    for number in _NUMBER.findall(_ITEM.sub(" ", _SIZE.sub(" ", text)).lower()):
        found.add((_WORDS.index(number) + 2.0 if number in _WORDS else float(number),))
    return found
