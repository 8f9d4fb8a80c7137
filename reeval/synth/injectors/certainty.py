"""Certainty: hedges lost, added and exchanged."""

import random
import re
from collections.abc import Iterator
from typing import Any

from reeval.synth import toml
from reeval.synth.analysis import Analysis, Instance
from reeval.synth.edit import Change, Edit
from reeval.synth.injectors.certainty_denied import edits as of_denials
from reeval.synth.injectors.links import Link, links
from reeval.synth.injectors.nounphrase import exchanged, free, prefixed
from reeval.synth.mentions import DOUBTFUL, PRESENT, Mention, Slot

_HANGING = re.compile(r"\s*(?:,?\s*\b(?:and|or|versus|vs|and/or)\b|/|,\s*(?:\w+\s+){0,3}(?:or|and|versus)\b)")
# What keeps a doubt or another reading beside the one that a link gives.
_REST = re.compile(
    r"\b(?:or|versus|vs|differential|alternatively|superimposed|possib\w+|likely|probab\w+|but|and/or)\b|/"
)
# What a doubt in front would not go with.
_SURE = re.compile(
    r"\b(?:not|normal|clear|suggest\w*|consistent|compatible|represent\w*|due to|secondary|recommend\w*|probab\w+"
    r"|possib\w+|likely|may|might|could|suspicious|concern\w*|worrisome|increas\w*|decreas\w*|smaller|larger|now|residual|measur\w+"
    r"|develop\w*|improv\w*|appears to|clearing|differential|consideration|resol\w+|evaluation)\b"
)


def _data() -> dict[str, Any]:
    return toml.table("injectors/certainty.toml")


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All edits of `certainty` that a report can carry."""
    found = links(analysis)
    read = {id(member) for link in found for member in link.members}
    for instance in analysis.instances:
        if not instance.safe or not all(m.clean for m in instance.mentions):
            continue
        yield from _slots(analysis, instance, read, rng)
        if all(m.polarity == PRESENT for m in instance.mentions):
            yield from _added(analysis, instance, rng)
    yield from _links(analysis, found, rng)
    yield from _whole(analysis)
    yield from of_denials(analysis, rng, _data()["denial"])


def _group(names: set[str]) -> str:
    """What hangs on the certainty of findings: "treated", "benign", or "" where that is open or mixed."""
    data = _data()
    if names <= set(data["treated"]):
        return "treated"
    return "benign" if names <= {*data["benign"], *data["chronic"]} else ""


def _word(analysis: Analysis, slot: Slot) -> str:
    return " ".join(analysis.document.lower[slot.start : slot.end].split())


def _slots(analysis: Analysis, instance: Instance, read: set[int], rng: random.Random) -> Iterator[Edit]:
    """Hedges right before a finding, in all its mentions."""
    data = _data()
    document = analysis.document
    carried: list[tuple[Mention, Slot]] = []
    for mention in instance.mentions:
        slots = [slot for slot in mention.slots if slot.name == "certainty"]
        sentence = analysis.sentence(mention.sentence)
        before = document.lower[sentence.start : mention.low]
        if (
            len(slots) != 1
            or id(mention) in read
            or _HANGING.match(document.lower, mention.high, sentence.end)
            or re.search(r"(?:,|/|\b(?:or|and|versus|no|not|may|most|could|be|if|is|are|than))\s*$", before)
            or re.search(r"\b(?:may|might|could|cannot|versus|exclude)\b", document.of(sentence).lower())
            or _word(analysis, slots[0]) not in data["near"]
            or slots[0].end > mention.start
        ):
            return
        carried.append((mention, slots[0]))
    names = {mention.finding.name for mention, _ in carried}
    group = _group(names)
    words = {_word(analysis, slot) for _, slot in carried}
    if not group or not carried or any(m.value("age") and group == "treated" for m, _ in carried):
        return
    mention, slot = carried[0]
    topics = frozenset({instance.concept})

    def edit(rule: str, changes: list[Change]) -> Edit:
        low = min(slot.start, changes[0].start)
        return Edit(f"certainty.{rule}", tuple(changes), (low, max(mention.end, changes[0].end)), topics)

    dropped = [exchanged(document, s.start, s.end, "") for _, s in carried]
    sure = words <= {"probable", "likely", "presumed"}
    if group == "benign" or (sure and names <= set(data["on_suspicion"])):
        yield edit("omission.probable", dropped)
    elif not sure:
        yield edit("omission.treated", dropped)
    for rule, table in (("near", "near_benign" if group == "benign" else "near"), ("reversed", "reversed")):
        if (rule == "reversed" and group == "benign") or not all(word in data[table] for word in words):
            continue
        changes = [exchanged(document, s.start, s.end, rng.choice(data[table][_word(analysis, s)])) for _, s in carried]
        yield edit(f"inaccuracy.{rule}", changes)


def _added(analysis: Analysis, instance: Instance, rng: random.Random) -> Iterator[Edit]:
    """A hedge added to a finding that is stated as such, in all its mentions."""
    data = _data()
    document = analysis.document
    group = _group({m.finding.name for m in instance.mentions})
    for mention in instance.mentions:
        sentence = analysis.sentence(mention.sentence)
        words = document.lower[sentence.start : sentence.end]
        if _SURE.search(words) or (mention.reading and not mention.finding.reading) or mention.slot("change"):
            return
        if group != "benign" and (mention.value("degree") in ("trace", "minimal") or mention.slot("age")):
            return
    if all(m.finding.concept == "pleural_effusion" and m.value("degree") in data["drained"] for m in instance.mentions):
        group = "treated"
    kinds = {"treated": [("doubtful", "doubtful")], "benign": [("probable", "probable")]}.get(group, [])
    if group == "treated" and all(m.finding.name in data["on_suspicion"] for m in instance.mentions):
        kinds.append(("probable", "suspicion"))
    mention = instance.mentions[0]
    for rule, table in kinds:
        options = [_doubts(analysis, m, rng.choice(data["prefix"][table]), table, rng) for m in instance.mentions]
        if all(options):
            changes = tuple(rng.choice(option) for option in options)
            low, high = changes[0].start, max(mention.end, changes[0].end)
            low = min(low, mention.low)
            yield Edit(f"certainty.fabrication.{rule}", changes, (low, high), frozenset({instance.concept}))


def _doubts(analysis: Analysis, mention: Mention, word: str, table: str, rng: random.Random) -> list[Change]:
    """The ways to make a mention doubtful: a word before it, "there may be", "is suspected"."""
    document = analysis.document
    sentence = analysis.sentence(mention.sentence)
    lower = document.lower
    found: list[Change] = []
    count = mention.slot("count")
    hanging = _HANGING.match(lower, mention.high, sentence.end) or re.search(
        r"(?:,|/|\b(?:and|or))\s*$", lower[sentence.start : mention.low]
    )
    # What is seen is not questionable: "is seen" becomes "is suspected" below.
    seen = re.compile(r" (?:is|are)(?: (?:present|noted|seen|identified|visualized|demonstrated))(?=\s*\.|\s*$)")
    tail = seen.match(lower, mention.high, sentence.end)
    if free(document, mention) and not hanging and not tail and not (count and count.start == mention.low):
        found.append(prefixed(document, mention.low, word))
    if len(analysis.by_sentence[mention.sentence]) > 1:
        return found
    there = re.match(r"there (?P<be>is|are) ", lower[sentence.start : mention.low])
    if there and table != "suspicion":
        at = sentence.start + there.start("be")
        found.append(Change(at, sentence.start + there.end("be"), document.cased("may be")))
    if tail:
        be = "are" if mention.plural else "is"
        new = rng.choice([f" {be} possible", f" {be} suspected"]) if table == "doubtful" else f" {be} suspected"
        found.append(Change(tail.start(), tail.end(), document.cased(new)))
    return found


def _links(analysis: Analysis, found: tuple[Link, ...], rng: random.Random) -> Iterator[Edit]:
    """The words that hang a reading on its description; the reading stands nowhere else in the report."""
    data = _data()
    for link in found:
        names = {member.finding.name for member in link.members}
        concepts = {member.finding.concept for member in link.members}
        group = _group(names)
        elsewhere = [
            m
            for m in analysis.mentions
            if m.finding.concept in concepts and m not in link.members and m is not link.subject
        ]
        rest = analysis.document.lower[link.last : analysis.sentence(link.sentence).end]
        before = analysis.document.lower[: link.start][-12:]
        if _REST.search(rest) or re.search(r"\b(?:may|might|could|to) be\s*$", before):
            continue
        if not group or elsewhere or (link.subject and link.subject.finding.concept in concepts):
            continue
        if any(slot.name == "certainty" and slot.start >= link.end for m in link.members for slot in m.slots):
            continue
        joined = set(link.joints) - {"and"}
        if group == "treated" and joined:
            continue
        for rule, level in _targets(link, group, names, joined):
            said = analysis.document.lower[link.start : link.end]
            options = [words for words in data["links"][level].get(link.form, ()) if words != said]
            if not options or (level == "suggest" and link.level == "suggest" and link.form != "adjective"):
                continue
            new = rng.choice(options).format(
                s="" if link.plural else "s", es="" if link.plural else "es", **{"is": "are" if link.plural else "is"}
            )
            change = _rewritten(analysis, link, new)
            if change:
                low = min(link.start, change.start)
                yield Edit(f"certainty.{rule}", (change,), (low, link.members[0].end), frozenset(concepts))


def _targets(link: Link, group: str, names: set[str], joined: set[str]) -> Iterator[tuple[str, str]]:
    """(rule, level) of what a link could become."""
    level = link.level
    hedged = level != "definite"
    if group == "benign":
        if level in ("may", "likely") and not joined:
            yield "omission.probable", "definite"
        if level == "definite" and not joined and link.form != "cause":
            yield "fabrication.probable", "likely"
        if hedged:
            yield "inaccuracy.near", "likely" if level == "may" else "may"
        return
    if level in ("may", "suggest"):
        yield "omission.treated", "definite"
    elif level == "likely" and names <= set(_data()["on_suspicion"]):
        yield "omission.probable", "definite"
    if level == "definite":
        yield "fabrication.doubtful", "may"
    if hedged:
        yield "inaccuracy.reversed", "unlikely"
    if level == "suggest":
        yield "inaccuracy.near", "suggest"


def _rewritten(analysis: Analysis, link: Link, new: str) -> Change | None:
    """A link's words exchanged, with the grammar of what stands around."""
    document = analysis.document
    lower = document.lower
    if link.verb.startswith("be "):
        # "may be due to" -> "is due to", "is likely due to".
        if new.startswith("represent"):
            new = f"{'are' if link.plural else 'is'} {link.verb[3:]}"
        elif new.startswith(("likely represent", "probably represent")):
            new = f"{'are' if link.plural else 'is'} likely {link.verb[3:]}"
    elif link.form == "adverb" and not link.verb.startswith(("represents", "reflects")):
        # "likely representing", "likely due to"
        if link.verb in ("represent", "reflect") and not link.plural:
            return None
        for adverb in ("likely", "probably", "may", "is unlikely", "are unlikely"):
            if new.startswith(adverb):
                word = {"may": "possibly", "is unlikely": "unlikely", "are unlikely": "unlikely"}.get(adverb, adverb)
                if link.verb in ("represent", "reflect"):
                    break
                if word == "unlikely" and link.verb.endswith("ing"):
                    return None
                new = f"{word} {link.verb}"
                break
        else:
            new = link.verb
    before = lower[: link.start][-12:]
    if link.form == "adjective" and re.search(r"\b(?:is|are|appears?)\s+$", before) and new.startswith("possibly rep"):
        new = "possibly due to"
    if link.form == "adjective" and re.search(r"\b(?:is|are)\s+$", before) and new.startswith("likely rep"):
        new = "likely due to"
    return exchanged(document, link.start, link.end, new)


def _whole(analysis: Analysis) -> Iterator[Edit]:
    """Sentences that say nothing but a doubt: "Pneumonia cannot be excluded." """
    document = analysis.document
    for index, sentence in enumerate(document.sentences):
        mentions = analysis.by_sentence[index]
        if len(mentions) != 1 or not mentions[0].clean or mentions[0].polarity != DOUBTFUL:
            continue
        mention = mentions[0]
        group = _group({mention.finding.name})
        alone = sum(m.finding.concept == mention.finding.concept for m in analysis.mentions) == 1
        text = document.lower[sentence.start : sentence.end]
        if not alone or not group or mention.slot("certainty") or re.search(r"\b(?:or|versus|if)\b", text):
            continue
        for name, pattern in _data()["whole"].items():
            match = re.fullmatch(pattern, text)
            if not match or sentence.start + match.end("np") < mention.end:
                continue
            be = "are" if mention.plural else "is"
            low, high = sentence.start, sentence.start + match.end("np")
            if name in ("exclude", "may"):
                start, end = low, sentence.start + match.start("np")
                sure, likely, not_so = f"there {be} ", f"there {be} most likely ", f"there {be} unlikely to be "
                near = f"there {be} possibly " if name == "exclude" or group == "benign" else ""
            else:
                start, end = high, sentence.end - text.endswith(".")
                sure, likely, not_so = f" {be} present", f" {be} highly likely", f" {be} unlikely"
                near = f" {be} possible" if name == "cannot" else " cannot be excluded"
            turned = likely if name in ("exclude", "cannot") else not_so
            options = {"omission.treated": sure, "inaccuracy.reversed": turned, "inaccuracy.near": near}
            if group == "benign":
                options = {"omission.probable": sure, "inaccuracy.near": near}
            for rule, new in options.items():
                if new:
                    change = exchanged(document, start, end, new)
                    span = (low, max(high, change.end))
                    yield Edit(f"certainty.{rule}", (change,), span, frozenset({mention.finding.concept}))
