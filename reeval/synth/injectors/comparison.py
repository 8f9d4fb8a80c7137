"""Comparison with a prior study: words of change lost, added or exchanged."""

import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis, Instance
from reeval.synth.edit import Change, Edit, added_sentence
from reeval.synth.english import indefinite
from reeval.synth.injectors.comparison_whole import NO_PRIOR, data, pattern
from reeval.synth.injectors.comparison_whole import edits as of_the_study
from reeval.synth.injectors.nounphrase import closes, ends, exchanged, free, prefixed, told
from reeval.synth.mentions import ABSENT, PRESENT, Mention, Slot

_AFTER = re.compile(
    r"(?P<comma>,?)\s+(?:(?:which )?(?P<verb>is|are|has|have|appears?|remains?) )?"
    r"(?:(?:overall|also|been|grossly|slightly|mildly|significantly) )*$"
)
# The study as a whole is as it was.
_AS_BEFORE = re.compile(r"\bno (?:significant |interval )*change|\bstable (?:chest|exam|study|appearance of the chest)")
_CLOSED = re.compile(r"\s*(?:[.;,]|$|(?:from|since|compared|when compared|in the interval|in size|in position)\b)")
_NEXT = re.compile(r"\s*(?:[.;]|$|(?:in|at|of|with|without|within|on|involving|overlying|near|is|are)\b(?! and))")


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    """All edits of `comparison` that a report can carry."""
    for instance in analysis.instances:
        if instance.safe and all(m.clean and m.polarity == PRESENT for m in instance.mentions):
            if any(_misread(analysis, mention) for mention in instance.mentions):
                continue
            found = [_carried(analysis, mention) for mention in instance.mentions]
            carried = [(m, slot) for m, slot in zip(instance.mentions, found, strict=True) if slot]
            if carried:
                yield from _lost(analysis, instance, carried)
                yield from _other(analysis, instance, carried, rng)
            elif not instance.follow_ups and not _spoken(analysis, instance):
                yield from _given(analysis, instance, rng)
    grave = any(matters(m) and not _idle(m) for instance in analysis.instances for m in instance.mentions)
    yield from of_the_study(analysis, rng, grave)


def matters(mention: Mention) -> bool:
    """Whether a change of this finding would be acted on."""
    finding = mention.finding
    if mention.value("degree") in ("trace", "minimal", "borderline") or mention.value("age") == "chronic":
        return False
    return finding.weight in ("urgent", "actionable", "degree") or finding.name in data()["watched"]


def _misread(analysis: Analysis, mention: Mention) -> bool:
    """Whether a sentence calls the finding normal, speaks of bone density, or reads an opacity as benign."""
    sentence = analysis.sentence(mention.sentence)
    words = analysis.document.lower[sentence.start : sentence.end]
    if re.search(data()["misread"]["words"], words):
        return True
    # What is calcified is old: a new calcified node is absurd.
    lump = mention.finding.name in ("nodule", "mass", "adenopathy")
    if lump and re.search(r"(?<!non)(?<!non-)calcif|granulom", words):
        return True
    beside = [m for m in analysis.by_sentence[mention.sentence] if m is not mention and m.finding.weight == "benign"]
    if any(m.reading for m in beside):
        return True
    return mention.finding.name in data()["watched"] and (
        bool(beside) or re.search(data()["misread"]["mild"], words) is not None
    )


def _idle(mention: Mention) -> bool:
    finding = mention.finding
    if finding.name == "pleural_effusion":
        return mention.value("degree") in ("trace", "minimal", "small")
    return finding.weight == "benign" or finding.name in data()["idle"]


def _carried(analysis: Analysis, mention: Mention) -> Slot | None:
    """The word of change of a mention, if it has exactly one that the tables know and says no more of change."""
    slots = [slot for slot in mention.slots if slot.name == "change"]
    if len(slots) != 1:
        return None
    slot = slots[0]
    lower = analysis.document.lower
    word = " ".join(lower[slot.start : slot.end].split())
    known = data()["plain_change"]
    if word not in known.get(slot.value, ()):
        return None
    sentence = analysis.sentence(mention.sentence)
    describes = word in known["describes"]["words"] and mention.finding.name in known["describes"]["names"]
    compared = re.search(r"\b(?:prior|previous|compared|interval)\b", lower[sentence.start : sentence.end])
    return None if describes and not compared else slot


def _spoken(analysis: Analysis, instance: Instance) -> bool:
    """Whether a sentence of the instance speaks of change at all, or one about the whole study does."""
    lower = analysis.document.lower
    anywhere = pattern("whole.any")
    for index, sentence in enumerate(analysis.document.sentences):
        of_it = index in instance.sentences
        if (of_it or not analysis.by_sentence[index]) and sentence.section != "other":
            # A normal structure may be called stable; that says nothing of the finding.
            if index in analysis.normal_of and not of_it and "whole study" not in analysis.normal_of[index].names:
                continue
            if anywhere.search(lower, sentence.start, sentence.end):
                return True
    return False


def _alone(analysis: Analysis, mention: Mention, slot: Slot) -> bool:
    """Whether nothing else in the sentence hangs on the word or speaks of change."""
    lower = analysis.document.lower
    sentence = analysis.sentence(mention.sentence)
    rest = lower[sentence.start : slot.start] + " " + lower[slot.end : sentence.end]
    rest = re.sub(r"\b(?:from|since|compared (?:to|with)|in) (?:the |a )?(?:prior|previous|interval)\b", " ", rest)
    beside = [m for m in analysis.by_sentence[mention.sentence] if m is not mention and m.polarity != ABSENT]
    return not pattern("whole.any").search(rest) and (not beside or slot.end <= mention.start)


def _lost(analysis: Analysis, instance: Instance, carried: list[tuple[Mention, Slot]]) -> Iterator[Edit]:
    changes: list[Change] = []
    kinds = {slot.value for _, slot in carried}
    if len(kinds) != 1 or (kinds != {"stable"} and not all(_alone(analysis, m, slot) for m, slot in carried)):
        return
    for mention, slot in carried:
        gone = _without(analysis, mention, slot)
        if gone is None:
            return
        changes.append(gone)
    kind = kinds.pop()
    mention, slot = carried[0]
    if kind == "stable" and all(_idle(m) for m, _ in carried):
        rule = "stable"
    elif kind in ("new", "worse") and all(matters(m) for m in instance.mentions):
        rule = "change"
    elif kind == "better" and all(m.finding.name in data()["treated"] and matters(m) for m in instance.mentions):
        rule = "improvement"
    else:
        return
    yield _edit(f"comparison.omission.{rule}", changes, mention, slot, instance)


def _edit(
    rule: str, changes: list[Change], mention: Mention, slot: Slot, instance: Instance, to: int | None = None
) -> Edit:
    first = changes[0]
    low, high = min(slot.start, mention.low, first.start), max(slot.end, mention.end, first.end, to or 0)
    if slot.end <= mention.start:
        high = max(mention.end, first.end)
        low = min(slot.start, first.start)
    return Edit(rule, tuple(sorted(changes)), (low, high), _topics(rule, instance))


def _topics(rule: str, instance: Instance) -> frozenset[str]:
    """A study in which something changed is not unchanged as a whole."""
    return frozenset({instance.concept} if rule.endswith(("stable", "shade")) else {instance.concept, "comparison"})


def _without(analysis: Analysis, mention: Mention, slot: Slot) -> Change | None:
    """The word of change removed; None where the sentence could not do without it."""
    document = analysis.document
    lower = document.lower
    if told(document, mention):
        return None
    if slot.end <= mention.start:
        before = lower[: slot.start]
        if re.search(r"\b(?:slightly|mildly|significantly|markedly|grossly|interval|and|or|but)\s*$", before[-14:]):
            return None
        if not re.match(r"\s+[a-z]", lower[slot.end : slot.end + 3]):
            return None
        sentence = analysis.sentence(mention.sentence)
        if re.match(r"\s*(?:,|and\b|/|or\b)", lower[mention.high : sentence.end]) and slot.value != "stable":
            return None
        been = re.search(r"\bthere (?P<verb>has been|have been|is|are) (?P<a>an? )?$", lower[: slot.start][-24:])
        if been and " " in lower[slot.start : slot.end]:
            # "There has been interval development of effusions" -> "There are effusions".
            start = slot.start - 24 + been.start("verb") if slot.start > 24 else been.start("verb")
            plain = mention.plural or mention.finding.mass
            a = "" if plain else f"{indefinite(lower[slot.end :].lstrip())} "
            words = f"{'are' if mention.plural else 'is'} {a}"
            return Change(start, slot.end + 1, document.cased(words))
        return exchanged(document, slot.start, slot.end, "")
    sentence = analysis.sentence(mention.sentence)
    match = _AFTER.search(lower, mention.end, slot.start)
    if not match or not _CLOSED.match(lower, slot.end):
        return None
    end = slot.end
    tail = re.match(
        r"(?: in size| in position)?(?: (?:from|since|compared (?:to|with)) (?:the )?(?:prior|previous)"
        r"(?: (?:study|exam|examination|radiographs?))?)?(?=\s*[.;,]|\s*$)", lower[end : sentence.end]
    )  # fmt: skip
    if not tail:
        return None
    end += tail.end()
    if not match["verb"]:
        return Change(match.start(), end, "") if match["comma"] else None
    if match["comma"]:
        return None
    words = " are present" if match["verb"] in ("are", "appear", "remain", "have") else " is present"
    return Change(match.start(), end, document.cased(words))


def _other(
    analysis: Analysis, instance: Instance, carried: list[tuple[Mention, Slot]], rng: random.Random
) -> Iterator[Edit]:
    """The word exchanged: the direction turned, or another shade of the same."""
    kinds = {slot.value for _, slot in carried}
    if len(kinds) != 1 or not all(_alone(analysis, m, slot) for m, slot in carried):
        return
    kind = kinds.pop()
    first = carried[0][0]
    grave = all(matters(m) for m in instance.mentions)
    mended = all(m.finding.name in data()["treated"] for m in instance.mentions)
    targets = {
        "stable": ["worse"] + ["better"] * mended,
        "worse": ["stable"] + ["better"] * mended,
        "better": ["worse"],
        "new": ["stable"],
    }.get(kind, [])
    if _AS_BEFORE.search(analysis.document.lower):
        targets = []
    if grave and first.finding.name not in data()["never_new"]:
        for target in targets:
            changes = [_turned(analysis, m, slot, target, rng) for m, slot in carried]
            done = [change for change in changes if change]
            if len(done) == len(changes):
                yield _edit("comparison.inaccuracy.direction", done, *carried[0], instance)
    if kind == "stable":
        changes = [_turned(analysis, m, slot, "shade", rng) for m, slot in carried]
        done = [change for change in changes if change]
        if len(done) == len(changes):
            yield _edit("comparison.inaccuracy.shade", done, *carried[0], instance)


def _turned(analysis: Analysis, mention: Mention, slot: Slot, target: str, rng: random.Random) -> Change | None:
    document = analysis.document
    lower = document.lower
    table = data()
    word = " ".join(lower[slot.start : slot.end].split())
    sentence = analysis.sentence(mention.sentence)
    if slot.end <= mention.start:
        if not _NEXT.match(lower[mention.high : sentence.end]) or told(document, mention):
            return None
        if " " in word and not word.endswith("changed") and "stable" not in word:
            if word.startswith("interval") and target in table["interval"]:
                return exchanged(document, slot.start, slot.end, rng.choice(table["interval"][target]))
            return None
        if re.search(r"\b(?:slightly|mildly|grossly|interval|and|or|but|significantly)\s*$", lower[: slot.start][-14:]):
            return None
        if word.endswith(" of"):
            return None
        words = [new for new in _words(mention, target) if new not in word]
        return exchanged(document, slot.start, slot.end, rng.choice(words)) if words else None
    match = _AFTER.search(lower, mention.end, slot.start)
    if not match or not _CLOSED.match(lower, slot.end) or word.startswith("again"):
        return None
    if not match["verb"]:
        beside = re.match(r"\s+(?:from|since|compared)\b", lower[slot.end : sentence.end])
        if match["comma"] and beside and target in table["beside"]:
            return Change(slot.start, slot.end, document.cased(rng.choice(table["beside"][target])))
        if not match["comma"] or target == "shade" or not ends(document, mention):
            return None
        return Change(match.start(), slot.end, document.cased(_after(target, rng)))
    if match["comma"] or match["verb"].startswith("appear") or told(document, mention) or target not in table["verb"]:
        return None
    both = rng.choice(table["verb"][target]).split("|")
    plural = match["verb"] in ("are", "have", "remain")
    return Change(match.start("verb"), slot.end, document.cased(both[plural]))


def _words(mention: Mention, kind: str) -> list[str]:
    """Words of change that go before this finding's name."""
    table = data()
    if kind == "worse" and mention.finding.name == "cardiomegaly":
        return list(table["cardiomegaly"]["worse"])
    if kind == "worse" and mention.finding.name in table["growing"]["names"]:
        return list(table["growing"]["worse"])
    return list(table["before"][kind])


def _after(kind: str, rng: random.Random) -> str:
    words = str(rng.choice(data()["after"][kind]))
    return words.format(prior=rng.choice(data()["priors"]))


def _given(analysis: Analysis, instance: Instance, rng: random.Random) -> Iterator[Edit]:
    """A comparison added to a finding that has none; in its first mention, the others say nothing of it."""
    table = data()
    document = analysis.document
    mention = instance.mentions[0]
    if mention.reading or len({m.sentence for m in instance.mentions}) > 2:
        return
    if NO_PRIOR.search(document.lower):
        return
    matter, idle = all(matters(m) for m in instance.mentions), all(_idle(m) for m in instance.mentions)
    if any(m.slot("age") or m.slot("certainty") for m in instance.mentions) or _AS_BEFORE.search(document.lower):
        matter = False
    present = [m for m in analysis.by_sentence[mention.sentence] if m.polarity == PRESENT]
    kinds = []
    if matter and mention.finding.name not in table["never_new"]:
        kinds.append(rng.choice(["new", "worse"]) if mention.finding.name != "rib_fracture" else "new")
        if mention.finding.name in table["treated"]:
            kinds.append("better")
    if idle and mention.finding.name != "pleural_effusion":
        kinds.append("stable")
    for kind in kinds:
        rule = {"stable": "stable", "better": "improvement"}.get(kind, "change")
        options = []
        count = mention.slot("count")
        listed = re.match(r"\s*(?:and\b|or\b|/)", document.lower[mention.high :])
        if free(document, mention) and not listed and not (count and count.start == mention.low):
            change = prefixed(document, mention.low, rng.choice(_words(mention, kind)))
            options.append((change, (change.start, max(mention.end, change.end))))
        if ends(document, mention) and kind in table["after"] and len(present) == 1:
            new = document.cased(_after(kind, rng))
            options.append((Change(mention.high, mention.high, new), (mention.low, mention.high)))
        if options:
            change, span = rng.choice(options)
            yield Edit(f"comparison.fabrication.{rule}", (change,), span, _topics(rule, instance))
        if len(analysis.by_sentence[mention.sentence]) == 1 and closes(document, mention) and not mention.plural:
            new = str(rng.choice(table["sentence"][kind])).format(prior=rng.choice(table["priors"]))
            at = analysis.sentence(mention.sentence).end
            changes = added_sentence(document, mention.sentence, new)
            if "\n" not in changes[0].new and len(changes) == 1 and not re.search(r"\d[.)]", changes[0].new):
                yield Edit(f"comparison.fabrication.{rule}", changes, (at, at), _topics(rule, instance))
