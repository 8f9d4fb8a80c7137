"""Diagnosis: what a finding is read as, lost, added or exchanged."""

import functools
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth import terms, toml
from reeval.synth.analysis import Analysis, Instance
from reeval.synth.edit import Change, Edit, added_sentence, dropped_sentence
from reeval.synth.injectors.links import Link, begin, links
from reeval.synth.injectors.nounphrase import closes, ends, exchanged
from reeval.synth.injectors.things import things
from reeval.synth.mentions import ABSENT, PRESENT, Mention

_REST = re.compile(r"\b(?:differential|alternatively|versus|less likely|or|although|though|but|given|if)\b|/")
_SPEAKS = re.compile(
    r"\b(?:not|suggest\w*|consistent|compatible|represent\w*|reflect\w*|due to|secondary|related|likely|probab\w+"
    r"|possib\w+|may|might|could|concern\w*|suspicious|versus|normal|clear|from|differential|question\w*|cannot"
    r"|post\w*|sequela\w*|status)\b"
)

# What speaks against a grave reading that nobody had.
_SETTLED = re.compile(r"\b(?:stable|unchanged|old|chronic|persist\w*|improv\w*|decreas\w*|reduc\w*|resolv\w*)\b")
# What grave readings follow on, and benign ones do not.
_WORRIED = re.compile(r"concerning|suspicious|worrisome")


def _data() -> dict[str, Any]:
    return toml.table("injectors/diagnosis.toml")


@functools.cache
def _families() -> Mapping[str, str]:
    """Finding -> its family."""
    return {name: family for family, entry in _data()["families"].items() for name in entry["names"]}


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All edits of `diagnosis` that a report can carry."""
    found = [link for link in links(analysis) if all(m.finding.name in _families() for m in link.members)]
    for link in found:
        yield from _whole(analysis, link, found)
        yield from _member(analysis, link)
        yield from _other(analysis, link, found, rng)
    # What is read as something elsewhere in the report needs no other reading.
    read = {id(one) for thing in things(analysis) if len(thing.topics) > 1 for one in thing.instances}
    for instance in analysis.instances:
        if (
            instance.safe
            and id(instance) not in read
            and not instance.follow_ups
            and all(m.clean and m.polarity == PRESENT for m in instance.mentions)
        ):
            yield from _added(analysis, instance, rng)


def _family(mention: Mention) -> str:
    return _families()[mention.finding.name]


def _decides(family: str) -> bool:
    return bool(_data()["families"][family]["decides"])


def _left(analysis: Analysis, families: set[str], changes: list[Change]) -> bool:
    """Whether a report speaks of a reading anywhere but in what is changed."""
    lower = analysis.document.lower
    for family in families:
        for match in re.finditer(_data()["families"][family]["words"], lower):
            if not any(change.start <= match.start() < change.end for change in changes):
                return True
    return False


def _same(link: Link, found: list[Link]) -> list[Link]:
    """The links that read something as the same as this one, itself first; a report says it twice."""
    families = {_family(m) for m in link.members}
    rest = [other for other in found if other is not link and {_family(m) for m in other.members} == families]
    return [link, *rest]


def _topics(links_: list[Link]) -> frozenset[str]:
    concepts = {m.finding.concept for link in links_ for m in link.members}
    return frozenset(concepts | {link.subject.finding.concept for link in links_ if link.subject})


def _whole(analysis: Analysis, link: Link, found: list[Link]) -> Iterator[Edit]:
    """A whole reading lost, with every mention of it; what it reads stays."""
    families = {_family(m) for m in link.members}
    deciding = {_decides(family) for family in families}
    changes: list[Change] = []
    group = _same(link, found)
    if group[0] is not next(other for other in found if other in group):
        return  # the first of them stands for all
    for other in group:
        gone = _cut(analysis, other)
        if gone is None:
            return
        changes += gone
    if _left(analysis, families, changes) or any(
        m.finding.name in _families() and _family(m) in families for other in group if (m := other.subject)
    ):
        return
    if True not in deciding and not all(_implied(analysis, other) for other in group):
        return
    rule = "decides" if True in deciding else "implied"
    span = (link.start, link.last)
    if link.subject is None:
        sentence = analysis.sentence(link.sentence)
        span = (sentence.start, sentence.end)
    yield Edit(f"diagnosis.omission.{rule}", tuple(sorted(changes)), span, _topics(group))


def _implied(analysis: Analysis, link: Link) -> bool:
    """Whether the sentence shows as much without the benign reading."""
    sentence = analysis.sentence(link.sentence)
    words = analysis.document.lower[sentence.start : link.start]
    if re.search(_data()["implied"]["never"], words):
        return False
    return all(re.search(_data()["implied"].get(_family(m), "(?!)"), words) for m in link.members)


def _cut(analysis: Analysis, link: Link) -> list[Change] | None:
    document = analysis.document
    sentence = analysis.sentence(link.sentence)
    rest = document.lower[link.last : sentence.end]
    if not link.closed or _REST.search(rest):
        return None
    if link.subject is None:
        # "This may represent pneumonia.": the sentence says nothing else.
        text = document.lower[sentence.start : link.start]
        if not re.fullmatch(r"(?:this|these|it|they)\s+(?:is |are )?(?:most )?", text) or rest.strip() not in ("", "."):
            return None
        changes = dropped_sentence(document, link.sentence)
        return None if changes is None else list(changes)
    if rest.strip() not in ("", ".", ";") and not rest.startswith(","):
        return None
    if any(m.polarity == ABSENT for m in analysis.by_sentence[link.sentence]):
        return None
    if re.search(r"\b(?:in|of|at|with|the)\s*$", document.lower[sentence.start : link.lead]):
        return None
    if not link.main:
        start = link.lead
        return [Change(start, link.last, "")]
    first = document.lower[sentence.start : link.lead].split()
    if not first or first[0] == "there":
        return None
    several = sum(m.end <= link.lead for m in analysis.by_sentence[link.sentence]) > 1
    plural = link.plural or (several and re.search(r"\band\b", document.lower[sentence.start : link.lead]))
    new = f" {'are' if plural else 'is'} noted"
    return [Change(link.lead, link.last, document.cased(new))]


def _member(analysis: Analysis, link: Link) -> Iterator[Edit]:
    """One reading of two lost, the other stays."""
    if len(link.members) != 2 or len(link.joints) != 1 or not link.closed:
        return
    if link.joints[0] not in ("or", "versus", "vs", "vs.", "and/or", ""):
        return
    one, two = link.members
    if _family(one) == _family(two) or two.polarity == ABSENT:
        return
    for lost, change in ((one, Change(link.first, two.low, "")), (two, Change(one.high, link.last, ""))):
        if lost is one and (one.start != link.first or two.slots or one.slots):
            continue  # words before the first hold for the second as well
        if lost is two and two.slot("place"):
            continue
        if _left(analysis, {_family(lost)}, [change]):
            continue
        kept = one if lost is two else two
        if not _decides(_family(kept)):
            rule = "decides" if _decides(_family(lost)) else "implied"
            yield Edit(
                f"diagnosis.omission.{rule}",
                (change,),
                (link.first, link.last),
                _topics([link]) | {lost.finding.concept},
            )


def _other(analysis: Analysis, link: Link, found: list[Link], rng: random.Random) -> Iterator[Edit]:
    """A reading exchanged for another one wherever the report gives it."""
    data = _data()
    document = analysis.document
    for member in link.members:
        family = _family(member)
        if family not in data["exchanges"]:
            continue
        places = [(other, m) for other in found for m in other.members if _family(m) == family]
        if places[0][1] is not member:
            continue  # once for all its mentions
        taken = [_words(analysis, m, begin(m, other.end)) for other, m in places]
        if (
            _left(analysis, {family}, [Change(low, high, "") for low, high in taken])
            or "superimposed" in document.lower
        ):
            continue
        subjects = {o.subject.finding.name for o, _ in places if o.subject}
        for kind, rule in (("other", "managed-differently"), ("same", "same-action")):
            ranges = (
                taken
                if kind == "other" or family == "granulomatous"
                else [_names(m, begin(m, other.end)) for other, m in places]
            )
            options = [
                new for new in data["exchanges"][family].get(kind, ())
                if _fits(analysis, new, kind, ranges, subjects)
            ]  # fmt: skip
            if kind == "other":
                # "Atelectasis or airspace disease" as "pneumonia or airspace disease" says nothing else.
                beside = {
                    m.finding.concept
                    for o, _ in places
                    for m in analysis.by_sentence[o.sentence]
                    if m.polarity != ABSENT
                }
                options = [new for new in options if not terms.concepts(new) & (beside - {member.finding.concept})]
            if kind == "other" and any(_WORRIED.search(document.lower, o.start, o.end) for o, _ in places):
                options = [new for new in options if _grave(new)]
            if not options:
                continue
            new = rng.choice(options)
            changes = tuple(sorted(exchanged(document, low, high, new) for low, high in ranges))
            low = min(link.start, changes[0].start)
            high = next(h for a, h in ranges if link.first <= a <= link.last)
            yield Edit(
                f"diagnosis.inaccuracy.{rule}",
                changes,
                (low, max(high, changes[0].end)),
                _topics([link]) | terms.concepts(new),
            )


def _grave(reading: str) -> bool:
    """Whether a reading starts treatment or work-up."""
    return any(f["decides"] and re.search(f["words"], reading.lower()) for f in _data()["families"].values())


def _names(member: Mention, low: int) -> tuple[int, int]:
    """A reading's name, and what comes before it where that is an age."""
    return low if member.slot("age") else member.start, member.end


def _words(analysis: Analysis, member: Mention, low: int) -> tuple[int, int]:
    """The words of a reading that another one takes: with its article, without its side and place."""
    lower = analysis.document.lower
    slots = [slot for slot in member.slots if low <= slot.start and slot.end <= member.start]
    kept = [slot for slot in slots if slot.name in ("side", "place")]
    start = low
    if kept and kept[0].start == low and not any(s.name == "age" for s in slots):
        start = kept[-1].end
        while lower[start] in " \t\n":
            start += 1
        return start, member.end
    first = re.search(r"(?:\b(?:an?|the|some|areas? of|developing|early|old|prior|previous)\s+)+$", lower[:low][-24:])
    return start - len(first[0]) if first else start, member.end


def _fits(analysis: Analysis, new: str, kind: str, ranges: list[tuple[int, int]], subjects: set[str]) -> bool:
    """Whether a reading is new to the report, other than the old words, and contradicts nothing in it."""
    lower = analysis.document.lower
    for low, high in ranges:
        old = lower[low:high]
        if any(word in old for word in new.lower().split() if len(word) > 3) or old in new.lower():
            return False
    for entry in _data()["families"].values():
        if not ranges and not entry["decides"] and subjects <= set(entry["names"]):
            if any(word in lower for word in new.lower().split() if len(word) > 6):
                return False
        elif re.search(entry["words"], new.lower()):
            changes = [Change(low, high, "") for low, high in ranges] if kind == "same" else []
            for match in re.finditer(entry["words"], lower):
                if not any(c.start <= match.start() < c.end for c in changes):
                    return False
    concepts = terms.concepts(new)
    findings = [f for f in terms.findings().values() if f.concept in concepts]
    denied = {m.finding.concept for m in analysis.mentions if m.polarity == ABSENT}
    if kind == "other" and (concepts & denied or ("nodule" in subjects and new == "atelectasis")):
        return False
    chronic = any(word in new for word in ("malignan", "metasta", "carcinoma", "scar", "granulom", "COPD"))
    return not any(n.rules_out(f) for n in analysis.normals for f in findings if not (n.acute and chronic))


def _added(analysis: Analysis, instance: Instance, rng: random.Random) -> Iterator[Edit]:
    """A reading given to a finding that the report only describes."""
    data = _data()
    document = analysis.document
    mention = instance.mentions[-1]
    index = mention.sentence
    sentence = analysis.sentence(index)
    text = document.lower[sentence.start : sentence.end]
    whole = " ".join(
        document.lower[analysis.sentence(m.sentence).start : analysis.sentence(m.sentence).end]
        for m in instance.mentions
    )
    present = [m for m in analysis.by_sentence[index] if m.polarity == PRESENT]
    if _SPEAKS.search(whole) or len(present) != 1 or any(m.reading for m in instance.mentions):
        return
    alone = len(analysis.by_sentence[index]) == 1
    for kind, rule in (("decides", "work-up"), ("usual", "usual")):
        for entry in data["added"][kind]:
            if not all(m.finding.name in entry["names"] for m in instance.mentions):
                continue
            if (entry["not"] and re.search(entry["not"], whole)) or not re.search(entry.get("need", ""), whole):
                continue
            if kind == "decides" and (mention.slot("age") or _SETTLED.search(whole)):
                continue
            options = [x for x in entry["readings"] if _fits(analysis, x, "other", [], {mention.finding.name})]
            if not options:
                continue
            new = str(rng.choice(options))
            stem = "cause_" if entry.get("cause") else ""
            topics = frozenset({instance.concept}) | terms.concepts(new)
            if ends(document, mention):
                words = str(rng.choice(data["phrases"][f"{stem}after"])).format(x=new)
                change = Change(mention.high, mention.high, document.cased(words))
                yield Edit(f"diagnosis.fabrication.{rule}", (change,), (mention.low, mention.high), topics)
            if alone and closes(document, mention) and not re.search(r"\b(?:and|with)\b", text):
                # "The lungs are hyperinflated. This is ..."
                number = "_plural" if mention.plural and mention.finding.concept not in data["states"] else ""
                words = str(rng.choice(data["phrases"][f"{stem}sentence{number}"])).format(x=new)
                changes = added_sentence(document, index, words)
                if len(changes) == 1 and not re.search(r"\n|\d[.)]", changes[0].new):
                    yield Edit(f"diagnosis.fabrication.{rule}", changes, (sentence.end, sentence.end), topics)
