"""Sentences that name findings one after another ("No effusion, consolidation, or pneumothorax."), and how one of
them leaves the sentence while its commas and its verb stay right."""

import dataclasses
import itertools
import re

from reeval.synth.analysis import Analysis
from reeval.synth.document import Document
from reeval.synth.edit import Change
from reeval.synth.mentions import ABSENT, PRESENT, Mention

_GAP = re.compile(r"\s*,?\s*(?:(?P<word>and/or|or|and|nor)\s+)?(?:(?:no|any|a|an)\s+)?(?:evidence of\s+)?")
_WITH = re.compile(r"\s+with\s+(?:(?:a|an)\s+)?(?:associated\s+)?")
_LEAD_DENIED = re.compile(
    r"(?:(?:specifically|also|additionally|otherwise),?\s+)?(?:(?:there|we)\s+(?:is|are|see)\s+)?"
    r"(?:no|negative for|without)\s+(?:[a-z-]+\s+){0,5}",
)
_LEAD = re.compile(r"(?:there\s+(?:is|are)\s+)?(?:(?:a|an|again)\s+)?")
_TAIL_DENIED = re.compile(
    r"(?:\s+(?P<verb>is|are))?(?:\s+(?:seen|identified|noted|present|appreciated|visualized|demonstrated|evident|detected"
    r"|observed))?(?:\s+(?:bilaterally|today|at this time))?[.,\s]*"
)
_TAIL = re.compile(r"[.\s]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """A sentence and the findings it lists, all denied or all asserted.

    pure: it says nothing else, so that all of them could leave with the whole sentence.
    verb: offsets of the "is" or "are" that agrees with the list; None without one, or where none need agree.
    """

    sentence: int
    items: tuple[Mention, ...]
    gaps: tuple[tuple[int, int], ...]
    pure: bool
    verb: tuple[int, int] | None

    def without(self, document: Document, index: int) -> tuple[Change, ...] | None:
        """What changes when item `index` leaves; the item's own words are one change of its own. None where the
        sentence would not stand without it."""
        count = len(self.items)
        if count < 2:
            return None
        text, lower = document.text, document.lower
        item = self.items[index]
        changes = [Change(item.low, item.high, "")]
        gaps = {number: lower[start:end] for number, (start, end) in enumerate(self.gaps)}
        joining = index if index == 0 else index - 1  # the gap that goes with the item
        start, end = self.gaps[joining]
        left = {number: gap for number, gap in gaps.items() if number != joining}
        if index == count - 1 and index > 1:
            # "A, B, or C" without C: the conjunction moves before B.
            left[joining - 1] = gaps[joining]
        if len(left) == 1:
            only = next(iter(left))
            if re.search(r"\b(?:or|and|nor)\b", left[only]):
                left[only] = re.sub(r"^\s*,", "", left[only])
        changes.append(Change(start, end, ""))
        for number, gap in left.items():
            low, high = self.gaps[number]
            if gap != gaps[number]:
                changes.append(Change(low, high, document.cased(gap)))
        rest = [other for other in self.items if other is not item]
        if self.verb:
            verb = lower[self.verb[0] : self.verb[1]]
            # After the list the verb agrees with the whole, before it with the first item.
            after = self.verb[0] > self.items[0].start
            if not after or len(rest) == 1:
                many = rest[0].plural if not after else any(other.plural for other in rest)
                if index and not after:
                    many = verb == "are"  # the first item stays, and with it the verb
                if many != (verb == "are"):
                    new = "are" if many else "is"
                    changes.append(Change(*self.verb, document.cased(new)))
        if index == 0 and item.low == document.sentences[self.sentence].start:
            # The next item begins the sentence now.
            first = self.items[1].low
            if text[item.low].isupper() and text[first].islower():
                changes.append(Change(first, first + 1, text[first].upper()))
        return tuple(sorted(changes))


def denials(analysis: Analysis) -> dict[int, Listing]:
    """Sentence -> the findings it denies, where it is such a list."""
    found = {}
    for index, group in analysis.by_sentence.items():
        if all(m.polarity == ABSENT for m in group):
            listing = _listing(analysis, index, group, denied=True)
            if listing:
                found[index] = listing
    return found


def assertions(analysis: Analysis) -> dict[int, Listing]:
    """Sentence -> the findings it asserts, where it is a list of two or more without anything else."""
    found = {}
    for index, group in analysis.by_sentence.items():
        if len(group) > 1 and all(m.polarity == PRESENT and not m.coordinated for m in group):
            listing = _listing(analysis, index, group, denied=False)
            if listing and listing.pure:
                found[index] = listing
    return found


def _listing(analysis: Analysis, index: int, group: list[Mention], *, denied: bool) -> Listing | None:
    if not group or not analysis.clean(index):
        return None
    sentence = analysis.sentence(index)
    lower = analysis.document.lower
    items = sorted(group, key=lambda m: m.start)
    gaps = tuple((a.high, b.low) for a, b in itertools.pairwise(items))
    conjunctions = 0
    for number, (low, high) in enumerate(gaps):
        if low >= high:
            return None
        gap = lower[low:high]
        match = _GAP.fullmatch(gap) or (None if denied or number + 1 < len(gaps) else _WITH.fullmatch(gap))
        if not match or not gap.strip():
            return None
        if match.groupdict().get("word"):
            conjunctions += 1
            if number + 1 < len(gaps):
                return None  # "A or B, C": two lists in one
    lead, tail = lower[sentence.start : items[0].low], lower[items[-1].high : sentence.end]
    end = _TAIL_DENIED.fullmatch(tail) if denied else _TAIL.fullmatch(tail)
    if not end:
        return None
    pure = bool((_LEAD_DENIED if denied else _LEAD).fullmatch(lead))
    if not denied and len(gaps) > 1 and not conjunctions:
        return None
    verb = None
    there = re.search(r"\bthere\s+(is|are)\s", lead)
    if there:
        # "no focal areas of consolidation" has its number from another noun.
        if re.fullmatch(r"(?:no\s+|an?\s+)?", lead[there.end() :]):
            verb = (sentence.start + there.start(1), sentence.start + there.end(1))
    elif denied and end["verb"] and re.fullmatch(r"(?:no\s+)", lead):
        verb = (items[-1].high + end.start("verb"), items[-1].high + end.end("verb"))
    if not denied and there and verb is None:
        return None
    return Listing(index, tuple(items), gaps, pure, verb)
