"""The aspect `wording`: spelling, repetition, filler, and sentences that contradict or break off."""

import functools
import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import terms, toml
from reeval.synth.analysis import Analysis, Instance
from reeval.synth.edit import Change, Edit, fitted
from reeval.synth.english import capital
from reeval.synth.injectors.listings import denials
from reeval.synth.injectors.passages import added, all_dropped, leaned_on, sections, terse
from reeval.synth.injectors.spaces import words_of
from reeval.synth.injectors.typos import word_with_slip
from reeval.synth.injectors.weights import HARMLESS, denied, relatives, standing, weight_of_instance
from reeval.synth.mentions import PRESENT, follow_ups

_WORD = re.compile(r"[A-Za-z]{7,}")
_DENYING = re.compile(r"\b(?:no|not|without|nor)\b")
# A statement that can be made again elsewhere.
_TIDY = re.compile(r"(?!Specifically|Otherwise|However|Also|(\w+) \1\b)[A-Z][^.]*[A-Za-z]\.", re.DOTALL)
# Nobody says more words than these twice.
_REPEATED = 16
# A sentence whose first clause has its verb, unlike "heart size normal lungs are clear".
_VERBAL = re.compile(r"(?:(?!(?:normal|clear|unremarkable|enlarged|intact|stable|within)\b)[^\s,;]+\s+)+(?:is|are)\b")
# How many typos a report gives.
_SLIPS = 3


@functools.cache
def _table() -> dict[str, Any]:
    table = toml.read("injectors/wording.toml")
    for kind in ("misleading", "plain"):
        for entry in table[kind]:
            entry["from"] = re.compile(entry["from"])
    for name in ("technique_lost", "turn_lost", "words_lost"):
        table["filler"][name] = re.compile(table["filler"][name])
    return table


# A denial beside these agrees with them, or speaks of something else.
_GONE = re.compile(r"\b(?:resol\w+|improv\w+|clear(?:s|ed|ing|ance)?|decreas\w+|calcif\w+|granulom\w+)\b")
# A denial of some fractures only.
_SOME = re.compile(r"\b(?:displaced|compression|vertebra\w*|spin\w+|wedge)\b")
# The share of reports that may contradict themselves: one could call it a finding made up, too.
_CONTRADICTED = 0.3


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All edits of its rules that a report can carry, a few of each where there are many."""
    for part in (_misleading, _typos, _broken_off, _filler_lost, _filler_added, _contradicted):
        yield from part(analysis, rng)


def _misleading(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """A term exchanged for one that looks or sounds like it, in one place."""
    document = analysis.document
    found = []
    for entry in _table()["misleading"]:
        matches = [m for m in entry["from"].finditer(document.lower) if _within(analysis, m.start())]
        # A finding's name stands right elsewhere: the slip would explain itself.
        if not matches or (len(matches) > 1 and entry.get("once")):
            continue
        if re.search(entry.get("unless", "(?!)"), document.lower):
            continue
        match = rng.choice(matches)
        index = document.index(match.start())
        assert index is not None
        if not analysis.clean(index):
            continue
        low, high = match.span()
        word = re.compile(r"[a-z-]*").match(document.lower, high)
        assert word is not None
        span = (low, word.end())
        if _DENYING.search(document.lower, document.sentences[index].start, low):
            continue
        new = _cased(analysis, low, rng.choice(entry["to"]))
        change = Change(low, high, new)
        topics = {m.finding.concept for m in analysis.by_sentence[index] if m.start < high and low < m.end}
        found.append(Edit("wording.inaccuracy.misleading", (change,), span, frozenset({*topics, "wording"})))
    yield from rng.sample(found, min(3, len(found)))


def _cased(analysis: Analysis, at: int, new: str) -> str:
    return analysis.document.cased(capital(new) if analysis.document.text[at].isupper() else new)


def _within(analysis: Analysis, at: int) -> bool:
    index = analysis.document.index(at)
    return index is not None and analysis.sentence(index).section != "other"


def _typos(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """A word misspelt so that it is plain what is meant."""
    document = analysis.document
    words = [m for m in _WORD.finditer(document.text) if _within(analysis, m.start())]
    given = 0
    for match in rng.sample(words, min(4 * _SLIPS, len(words))):
        if given == _SLIPS:
            return
        slip = word_with_slip(match[0].lower(), rng)
        if slip:
            new = slip.upper() if match[0].isupper() else _cased(analysis, match.start(), slip)
            given += 1
            yield _typo(match.start(), match.end(), new)
    for entry in rng.sample(_table()["plain"], len(_table()["plain"])):
        matches = [m for m in entry["from"].finditer(document.lower) if _within(analysis, m.start())]
        if matches:
            match = rng.choice(matches)
            yield _typo(match.start(), match.end(), _cased(analysis, match.start(), rng.choice(entry["to"])))
            return


def _typo(start: int, end: int, new: str) -> Edit:
    return Edit("wording.inaccuracy.typo", (Change(start, end, new),), (start, end), frozenset({"wording"}))


def _broken_off(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """A sentence that ends before the finding it is about to tell."""
    document = analysis.document
    for instance in analysis.instances:
        mention = instance.mentions[0]
        index = mention.sentence
        sentence = document.sentences[index]
        if (
            len(instance.mentions) > 1
            or mention.polarity != PRESENT
            or not analysis.clean(index)
            or HARMLESS.search(words_of(analysis, index))
            or weight_of_instance(instance) not in ("urgent", "actionable")
            or follow_ups(document, index)
            or len(analysis.by_sentence[index]) > 1
            or relatives(instance.concept) & standing(analysis, [instance])
        ):
            continue
        before = document.text[sentence.start : mention.start].rstrip()
        if len(before.split()) < 2 or mention.finding.device:
            continue
        stop = re.search(r"[.!?]*$", document.of(sentence))
        assert stop is not None
        start, end = sentence.start + len(before), sentence.end - len(stop[0])
        if start < mention.start < end:
            changes = (Change(start, mention.start, ""), Change(mention.start, end, ""))
            topics = frozenset({instance.concept})
            yield Edit("wording.omission.acted-on", changes, (mention.start, end), topics)


def _filler_lost(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    document = analysis.document
    filler = _table()["filler"]
    rule, topics = "wording.omission.filler", frozenset({"wording"})
    for index, sentence in enumerate(document.sentences):
        if sentence.section == "other":
            continue
        words = words_of(analysis, index)
        whole = filler["technique_lost"].fullmatch(words)
        if whole:
            if index + 1 < len(document.sentences) and document.sentences[index + 1].item and not sentence.item:
                continue  # it heads a list
            changes = all_dropped(analysis, [index])
            if changes and not leaned_on(analysis, [index]):
                yield Edit(rule, changes, (sentence.start, sentence.end), topics)
            continue
        turn = filler["turn_lost"].match(words)
        if turn and len(words) > turn.end() + 3 and document.text[sentence.start].isupper():
            low, high = sentence.start, sentence.start + turn.end()
            first = document.text[high]
            said = low + len(turn[0].rstrip(" ,"))
            changes = (Change(low, said, ""), Change(said, high + 1, first.upper()))
            yield Edit(rule, changes, (low, said), topics)
            continue
        inner = filler["words_lost"].search(words)
        if inner and inner.start():
            low, high = sentence.start + inner.start(), sentence.start + inner.end()
            while document.text[low] in " ,":
                low += 1
            start = sentence.start + inner.start()
            parts = [Change(start, low, ""), Change(low, high, "")] if low > start else [Change(low, high, "")]
            yield Edit(rule, tuple(parts), (low, high), topics)
    yield from _repetition_lost(analysis)


def _repetition_lost(analysis: Analysis) -> Iterator[Edit]:
    """A statement of the impression that the findings make in the same words."""
    document = analysis.document
    said = {
        words_of(analysis, i).strip(" .")
        for i, sentence in enumerate(document.sentences)
        if sentence.section == "findings"
    }
    for index, sentence in enumerate(document.sentences):
        words = words_of(analysis, index).strip(" .")
        twice = sentence.section == "impression" and words in said
        if twice and (index in analysis.normal_of or index in denials(analysis)) and analysis.clean(index):
            changes = all_dropped(analysis, [index])
            if changes and not leaned_on(analysis, [index]):
                topics = frozenset(m.finding.concept for m in analysis.by_sentence[index]) | {"wording"}
                yield Edit("wording.omission.filler", changes, (sentence.start, sentence.end), topics)


def _filler_added(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    document = analysis.document
    groups = sections(analysis)
    members = groups.get("findings") or groups.get("") or groups.get("impression")
    if not members:
        return
    rule, topics = "wording.fabrication.filler", frozenset({"wording"})
    filler = _table()["filler"]
    first, last = analysis.sentence(members[0]), members[-1]
    if not re.search(
        r"\b(?:views?|radiographs?|images?|projections?|portable|frontal|lateral|ap|pa)\b", document.lower
    ):
        text = rng.choice(filler["technique"])
        if not first.item and document.text[first.start].isupper():
            new = fitted(document, first.start, text) + " "
            yield Edit(rule, (Change(first.start, first.start, new),), (first.start, first.start), topics)
    end = analysis.sentence(last).end
    if "impression" in groups and len(groups) > 1:
        final = groups["impression"][-1]
        at = analysis.sentence(final).end
        if not analysis.sentence(final).item:  # it would be an item of its own
            yield Edit(rule, added(analysis, final, rng.choice(filler["closing"])), (at, at), topics)
    # A statement made twice.
    repeatable = denials(analysis).keys() | analysis.normal_of.keys()
    plain = [i for i in members if i in repeatable and analysis.clean(i)]
    plain = [i for i in plain if _TIDY.fullmatch(document.of(analysis.sentence(i)))]
    plain = [i for i in plain if i != last and len(words_of(analysis, i).split()) <= _REPEATED]
    if plain:
        index = rng.choice(plain)
        concepts = frozenset(m.finding.concept for m in analysis.by_sentence[index])
        if not analysis.sentence(last).item and analysis.clean(last):
            text = document.of(analysis.sentence(index))
            yield Edit(rule, added(analysis, last, text), (end, end), topics | concepts)
    turned = [
        i
        for i in members[1:]
        if re.match(r"(?:the|there|no|heart|lungs)\b", words_of(analysis, i))
        and document.text[analysis.sentence(i).start].isupper()
        and _VERBAL.match(words_of(analysis, i))
    ]
    if turned and not document.capitals:
        start = analysis.sentence(rng.choice(turned)).start
        new = rng.choice(filler["turns"])
        changes = (Change(start, start, new), Change(start, start + 1, document.text[start].lower()))
        yield Edit(rule, changes, (start, start), topics)


def _contradicted(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """A sentence that says the contrary of another one, which stays."""
    groups = sections(analysis)
    members = groups.get("findings") or groups.get("") or groups.get("impression")
    if not members:
        return
    denials_of, brief = denied(analysis), terse(analysis)
    # "No large effusion" leaves room for another.
    absent = {concept for concept, group in denials_of.items() if any(not m.value("degree") for m in group)}
    found = []
    for entry in _table()["contradiction"]:
        concept = terms.findings()[entry["of"]].concept
        instances = [i for i in analysis.instances if i.concept == concept]
        if concept in absent and not instances:
            if entry["of"] == "rib_fracture" and any(
                _SOME.search(words_of(analysis, m.sentence)) for m in denials_of[concept]
            ):
                continue
            texts = entry["present"]
        elif concept not in denials_of and instances and all(_definite(i) for i in instances):
            if any(_GONE.search(words_of(analysis, s)) for i in instances for s in (*i.sentences, *i.follow_ups)):
                continue
            texts = entry["absent"]
        else:
            continue
        side = rng.choice(("left", "right"))
        text = texts[0] if not brief else rng.choice(texts[1:])
        text = text.replace("{side}", side).replace("{Side}", side.capitalize())
        anchor = rng.choice([group[-1] for group in groups.values()])
        end = analysis.sentence(anchor).end
        topics = frozenset({concept})
        found.append(Edit("wording.fabrication.contradiction", added(analysis, anchor, text), (end, end), topics))
    if rng.random() < _CONTRADICTED:
        yield from rng.sample(found, min(2, len(found)))


def _definite(instance: Instance) -> bool:
    return weight_of_instance(instance) in ("urgent", "actionable") and all(
        mention.polarity == PRESENT and mention.clean for mention in instance.mentions
    )
