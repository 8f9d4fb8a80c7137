"""Comparison of what has no finding of its own: normal structures that are stable, and the study as a whole."""

import functools
import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Edit, added_sentence, dropped_sentence
from reeval.synth.injectors.nounphrase import exchanged
from reeval.synth.mentions import PRESENT

# No prior study: nothing in it can have stayed as it was.
NO_PRIOR = re.compile(r"\bno (?:\w+ )?(?:comparison|prior|previous)|\bnot available|\bunavailable")
_NORMAL = re.compile(r"normal|within normal limits|unremarkable")


def data() -> dict[str, Any]:
    """The words of `comparison.toml`."""
    return toml.table("injectors/comparison.toml")


@functools.cache
def pattern(name: str) -> re.Pattern[str]:
    """A pattern of the tables, by "table.key"."""
    group, _, key = name.partition(".")
    return re.compile(data()[group][key])


def edits(analysis: Analysis, rng: random.Random, grave: bool) -> Iterator[Edit]:
    """Edits of normal statements and of the study; grave: whether the report has a finding whose change matters."""
    yield from _normal(analysis, rng)
    yield from _study(analysis, rng, grave)


def _normal(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """ "Stable" lost from or added to a structure that is normal."""
    document = analysis.document
    compared = not NO_PRIOR.search(document.lower)
    for normal in analysis.normals:
        sentence = analysis.sentence(normal.sentence)
        if not set(normal.names) <= set(data()["normal"]["names"]) or not analysis.clean(normal.sentence):
            continue
        if any(m.polarity == PRESENT for m in analysis.by_sentence[normal.sentence]):
            continue
        topics = frozenset(f"normal:{name}" for name in normal.names)
        lower = document.lower[sentence.start : sentence.end]
        taken = list(pattern("normal.take").finditer(lower))
        for match in taken:
            name = next(key for key in ("first", "last", "alone") if match[key])
            low, high = sentence.start + match.start(name), sentence.start + match.end(name)
            change = Change(low, high, "") if name == "last" else exchanged(document, low, high, "")
            beside = _NORMAL.search(document.lower, high)
            first = sentence.start + match.start() if name == "last" or not beside else low
            last = high if name == "last" or not beside else beside.end()
            yield Edit("comparison.omission.stable", (change,), (first, max(last, change.end)), topics)
        if taken or not compared or pattern("whole.any").search(lower):
            continue
        given = pattern("normal.give").search(lower)
        if given and given.start("front") >= 0:
            word = rng.choice(["Stable", "Unchanged"]) + " n"
            at = sentence.start
            rest = re.match(r"\w*", document.lower[sentence.start + given.end() :])
            assert rest is not None
            last = sentence.start + given.end() + rest.end()
            if document.text[at] == "N" and not document.capitals:
                yield Edit("comparison.fabrication.stable", (Change(at, at + 1, word),), (at, last), topics)
        elif given:
            name = "at" if given.start("at") >= 0 else "terse"
            at = sentence.start + given.start(name)
            new = document.cased(rng.choice(["stable and ", "unchanged and "]))
            words = _NORMAL.match(document.lower, at)
            assert words is not None
            yield Edit("comparison.fabrication.stable", (Change(at, at, new),), (at, words.end()), topics)


def _study(analysis: Analysis, rng: random.Random, grave: bool) -> Iterator[Edit]:
    """A sentence of comparison for the whole study, lost or added."""
    document = analysis.document
    lower = document.lower
    topics = frozenset({"comparison"})
    sentences = document.sentences
    for index, sentence in enumerate(sentences):
        text = " ".join(lower[sentence.start : sentence.end].split())
        if not grave and analysis.clean(index) and pattern("whole.lost").fullmatch(text):
            gone = dropped_sentence(document, index)
            if gone:
                yield Edit("comparison.omission.stable", gone, (sentence.start, sentence.end), topics)
    own = [i for i, s in enumerate(sentences) if s.section in ("impression", "findings", "")]
    if not own or any(pattern("whole.any").search(lower, s.start, s.end) for s in sentences):
        return
    if grave or not analysis.instances or NO_PRIOR.search(lower):
        return
    last = own[-1]
    changes = added_sentence(document, last, str(rng.choice(data()["whole"]["stable"])))
    at = sentences[last].end
    yield Edit("comparison.fabrication.stable", changes, (at, at), topics)
