"""Sets of changes that take statements out of a report or put others in their place, so that what is left is true and
whole: no empty impression, no "otherwise" without a before."""

import itertools
import re
from collections.abc import Iterable

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, added_sentence, dropped_sentence

_LEANING = re.compile(
    r"(?:specifically|however|otherwise|this|these|those|it|they|there is also|also|additionally|in addition"
    r"|the (?:latter|former)|both|no other|other|no additional|similar|correlat\w*|recommend\w*|follow\w*|may|which"
    r"|since|if (?:none|prior|old|outside|not)|the appearance|appearance|comparison)\b",
    re.IGNORECASE,
)
_PLEASANT = re.compile(r"\b(?:other|otherwise|additional|remaining|remainder|above|rest)\b", re.IGNORECASE)


def leaned_on(analysis: Analysis, gone: Iterable[int]) -> bool:
    """Whether a sentence behind one of those that go begins as a continuation of it."""
    going = set(gone)
    for index in going:
        after = index + 1
        if after < len(analysis.document.sentences) and after not in going:
            following = analysis.document.of(analysis.document.sentences[after])
            if analysis.sentence(after).section == analysis.sentence(index).section and _LEANING.match(following):
                return True
    return False


def refers_to_others(analysis: Analysis, gone: Iterable[int]) -> bool:
    """Whether a sentence that stays speaks of "other" or "remaining" things, which needs those that go."""
    going = set(gone)
    return any(
        _PLEASANT.search(analysis.document.of(sentence))
        for index, sentence in enumerate(analysis.document.sentences)
        if index not in going
    )


def dropped(analysis: Analysis, index: int) -> tuple[Change, ...] | None:
    """A sentence removed, its own words as one change of their own, so that a span can be just them."""
    changes = dropped_sentence(analysis.document, index)
    if changes is None:
        return None
    sentence = analysis.sentence(index)
    found: list[Change] = []
    for change in changes:
        if change.new or not (change.start <= sentence.start and sentence.end <= change.end):
            found.append(change)
            continue
        edges = (change.start, sentence.start, sentence.end, change.end)
        found += [Change(low, high, "") for low, high in itertools.pairwise(edges) if low < high]
    return tuple(found)


def all_dropped(analysis: Analysis, indices: Iterable[int]) -> tuple[Change, ...] | None:
    """Several sentences removed. None where a section would be left empty, or a list lose more than one item."""
    document = analysis.document
    going = sorted(set(indices))
    runs: list[list[int]] = []
    for index in going:
        before = runs[-1] if runs else None
        if (
            before
            and before[-1] == index - 1
            and analysis.sentence(index).section == analysis.sentence(index - 1).section
        ):
            before.append(index)
        else:
            runs.append([index])
    changes: list[Change] = []
    listed: set[str] = set()
    for run in runs:
        first, last = analysis.sentence(run[0]), analysis.sentence(run[-1])
        after = document.sentences[run[-1] + 1] if run[-1] + 1 < len(document.sentences) else None
        before_it = document.sentences[run[0] - 1] if run[0] else None
        if any(analysis.sentence(index).item for index in run) or (
            after and after.item and after.section == last.section
        ):
            if len(run) > 1 or first.section in listed:
                return None
            listed.add(first.section)
            single = dropped(analysis, run[0])
            if single is None:
                return None
            changes += single
            continue
        edges = [offset for index in run for offset in (analysis.sentence(index).start, analysis.sentence(index).end)]
        if after and after.section == last.section:
            edges.append(after.start)
        elif before_it and before_it.section == first.section:
            edges.insert(0, before_it.end)
        else:
            return None
        changes += [Change(low, high, "") for low, high in itertools.pairwise(edges) if low < high]
    return joined(changes)


def exchanged(analysis: Analysis, index: int, new: str) -> tuple[Change, ...]:
    """A sentence replaced by another; both full stops stay as the report has them."""
    document = analysis.document
    sentence = document.sentences[index]
    stop = re.search(r"[.!?]*$", document.of(sentence))
    assert stop is not None
    new = new.rstrip(".")
    return (Change(sentence.start, sentence.end - len(stop[0]), document.cased(new)),)


def added(analysis: Analysis, after: int, new: str) -> tuple[Change, ...]:
    return added_sentence(analysis.document, after, new)


def joined(changes: Iterable[Change]) -> tuple[Change, ...] | None:
    """Changes in order; None where two of them touch the same words."""
    ordered = sorted(set(changes))
    for one, two in itertools.pairwise(ordered):
        if one.end > two.start or (one.start == two.start and one.start == one.end and two.start == two.end):
            return None
    return tuple(ordered)


def sections(analysis: Analysis) -> dict[str, list[int]]:
    """Section -> its sentences, those that are no findings or impression left out."""
    found: dict[str, list[int]] = {}
    for index, sentence in enumerate(analysis.document.sentences):
        if sentence.section != "other":
            found.setdefault(sentence.section, []).append(index)
    return found


_VERB = re.compile(r"\b(?:is|are|appears?|remains?|demonstrates?|shows?)\b")


def terse(analysis: Analysis) -> bool:
    """Whether the report is written in fragments rather than in full sentences."""
    sentences = [s for s in analysis.document.sentences if s.section != "other"]
    verbs = sum(bool(_VERB.search(analysis.document.lower, s.start, s.end)) for s in sentences)
    return 2 * verbs < len(sentences)
