"""finding.inaccuracy: a finding goes by the name of another observation, in all its mentions."""

import itertools
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reeval.synth import terms
from reeval.synth.analysis import Analysis, Instance
from reeval.synth.edit import Change, Edit
from reeval.synth.english import indefinite
from reeval.synth.injectors.answers import answer_to
from reeval.synth.injectors.listings import denials
from reeval.synth.injectors.passages import all_dropped, joined, leaned_on, sections
from reeval.synth.injectors.spaces import contradicts, unruled, words_of
from reeval.synth.injectors.weights import findings_table, relatives, standing, weight_of_instance
from reeval.synth.mentions import PRESENT, Mention
from reeval.synth.terms import Finding

_RULES = {"other": "finding.inaccuracy.urgency", "same": "finding.inaccuracy.same-action"}
_ARTICLE = re.compile(r"\b(an?)\s+$")
# What comes before a name that is not a finding of its own.
_HANGING = re.compile(r"/\s*$|and/or\s*$|\b(?:dextro|levo)\s*$")
# Words behind a name that tie it to something.
_SAID = re.compile(
    r"\b(?:consistent|compatible|represent\w*|due|secondary|suggest\w*|reflect\w*|versus|vs|calcif\w+|granulomatous"
    r"|disease|without|probabl\w+|likely|possibl\w+|limit\w*|contain\w*|position\w*|and/or)\b"
)
# Words that a phrase may begin behind; behind others it goes on to the left ("a spiculated, dense scar").
_BEGINS = re.compile(
    r"(?:^|[.:;]\s*|\b(?:an?|the|is|are|was|were|of|with|and|in|also|noted|again|shows?|demonstrates?|has|have|some|there"
    r"|appears?|overall)\s+)$"
)
# What makes a grave name less grave.
_KNOWN = re.compile(r"\b(?:stable|unchanged|chronic|old|previous\w*|prior|similar|again|known|remote)\b")
# Slots that any of the names may have around it.
_SLOTS = {"side", "place", "degree", "count", "change"}
# Names without a plural and without an article, as the texts may bring.
_MASS = {
    "atelectasis", "scarring", "airspace disease", "consolidation", "fibrosis", "pleural thickening", "pleural fluid",
    "kyphosis", "scoliosis", "osteomyelitis", "metastatic disease", "cavitation", "hyperinflation", "emphysema",
    "reticulation",
}  # fmt: skip


def edits(analysis: Analysis, rng: random.Random) -> Iterator[Edit]:
    table = findings_table()["renamed"]
    for instance in analysis.instances:
        names = {mention.finding.name for mention in instance.mentions}
        if len(names) != 1 or not _suitable(analysis, instance):
            continue
        entry = table.get(names.pop())
        if entry is None:
            continue
        for key, rule in _RULES.items():
            for option in rng.sample(entry[key], len(entry[key])):
                edit = _edit(analysis, instance, option, rule)
                if edit:
                    yield edit
                    break


def _edit(analysis: Analysis, instance: Instance, option: Mapping[str, Any], rule: str) -> Edit | None:
    """The finding under another name, with what that changes in the report's statements of normality."""
    singular, _ = option["to"]
    first = instance.mentions[0]
    if not _fits(analysis, instance, option) or _spoken_of(analysis, instance, singular):
        return None
    changes = _renamed(analysis, instance, option["to"])
    if changes is None:
        return None
    topics = frozenset({instance.concept, _concept(singular)})
    new = _finding(singular)
    if rule == _RULES["same"]:
        stronger = new is not None and new.weight not in ("benign", "open") and new.concept != instance.concept
        if new is not None and stronger and any(contradicts(normal, new) for normal in analysis.normals):
            return None
        return Edit(rule, changes, (first.start, first.end), topics)
    if any(_KNOWN.search(words_of(analysis, index)) for index in instance.sentences):
        return None
    if new is None or new.weight == first.finding.weight == "actionable":
        # Nothing that was true of the old name is untrue of this one, unless a statement speaks of the whole.
        whole = new is None and any("whole study" in n.names for n in analysis.normals)
        return None if whole else Edit(rule, changes, (first.start, first.end), topics)
    if new.weight == "benign" and weight_of_instance(instance) == "benign":
        return None  # neither calls for action
    if new.weight == "benign":
        return Edit(rule, changes, (first.start, first.end), topics)
    answered = answer_to(analysis, new, _fragment(analysis, first, changes), beside=True)
    if (
        answered is None
        or answered.clear is not None
        or not unruled(analysis, new, {*answered.handled, *instance.sentences, *denials(analysis)})
    ):
        return None
    in_impression = any(analysis.sentence(i).section == "impression" for i in instance.sentences)
    if answered.told and (in_impression or "findings" not in sections(analysis)):
        return None
    if leaned_on(analysis, answered.gone):
        return None
    rest = all_dropped(analysis, answered.gone)
    together = joined([*changes, *answered.changes, *rest]) if rest is not None else None
    return Edit(rule, together, (first.start, first.end), topics) if together else None


def _fragment(analysis: Analysis, mention: Mention, changes: tuple[Change, ...]) -> str:
    """A mention's words under its new name, as a statement of its own."""
    text = analysis.document.text
    new = next(c.new for c in changes if c.start == mention.start and c.end == mention.end)
    words = text[mention.low : mention.start] + new + text[mention.end : mention.high]
    words = re.sub(r"\s+(?:is|are)\s+(?:also\s+|again\s+)?(?:seen|noted|present|identified|demonstrated)\b", "", words)
    words = re.sub(r"\s+(?:is|are|has|have|appears?|remains?)\b.*$", "", words)
    return words[0].upper() + words[1:] + "."


def _finding(name: str) -> Finding | None:
    """What a name means: the finding that its last words name."""
    for _, end, meanings in terms.find(name, 0, len(name)):
        if meanings[0].slot == "finding" and end == len(name):
            return terms.findings()[meanings[0].value]
    return None


def _fits(analysis: Analysis, instance: Instance, option: Mapping[str, Any]) -> bool:
    lower = analysis.document.lower
    for mention in instance.mentions:
        if not re.search(option.get("from", ""), lower[mention.start : mention.end]):
            return False
        if option.get("bare") and mention.value("degree"):
            return False
        if not re.search(option.get("near", ""), words_of(analysis, mention.sentence)):
            return False
    return True


def _suitable(analysis: Analysis, instance: Instance) -> bool:
    """Whether all mentions are nouns that stand for the finding alone."""
    if not instance.safe or instance.denied or instance.follow_ups:
        return False
    if relatives(instance.concept) & standing(analysis, [instance]):
        return False
    if instance.concept == "heart_size" and any(
        i not in instance.sentences
        and re.search(r"enlarg|large|normal", words_of(analysis, i))
        and re.search(r"heart|cardi", words_of(analysis, i))
        for i in range(len(analysis.document.sentences))
    ):
        return False
    for mention in instance.mentions:
        name = analysis.document.lower[mention.start : mention.end]
        if (
            not mention.clean
            or mention.reading
            or mention.polarity != PRESENT
            or name not in (*mention.finding.singular, *mention.finding.plural)
        ):
            return False
        if any(slot.name not in _SLOTS for slot in mention.slots):
            return False
        sentence = analysis.sentence(mention.sentence)
        lower = analysis.document.lower
        if "clear" in words_of(analysis, mention.sentence) or _HANGING.search(lower[sentence.start : mention.low]):
            return False
        if not _BEGINS.search(lower[sentence.start : mention.low]):
            return False
        # Only words that the lexicon knows stand between the first word and the name.
        if mention.low < mention.start and not _plain_before(analysis, mention):
            return False
        # What is said of it may not fit another name.
        if lower[mention.end : mention.end + 1] == "/" or _SAID.search(lower, mention.end, sentence.end):
            return False
    return True


def _plain_before(analysis: Analysis, mention: Mention) -> bool:
    taken = [(slot.start, slot.end) for slot in mention.slots]
    words = re.finditer(r"[a-z-]+", analysis.document.lower[mention.low : mention.start])
    return all(
        any(a <= mention.low + w.start() and mention.low + w.end() <= b for a, b in taken) or w[0] in _SHARED
        for w in words
    )


# Descriptions that go with any opacity.
_SHARED = {"focal", "patchy", "subtle", "vague", "hazy", "streaky", "residual", "rounded"}


def _concept(name: str) -> str:
    """The concept of a name, or the name itself."""
    finding = _finding(name)
    return finding.concept if finding else name


def _spoken_of(analysis: Analysis, instance: Instance, name: str) -> bool:
    """Whether the report says anything of what the new name means."""
    concept = _concept(name)
    noun = name.split()[-1] if " of " not in name else name.split()[0]
    outside = analysis.document.lower
    if concept != instance.concept:
        return concept in analysis.concepts or noun in outside
    return noun in outside


def _renamed(analysis: Analysis, instance: Instance, option: list[str]) -> tuple[Change, ...] | None:
    singular, plural = option
    document = analysis.document
    changes: list[Change] = []
    for mention in instance.mentions:
        new = plural if mention.plural else singular
        if not new:
            return None
        before = document.lower[: mention.low]
        article = _ARTICLE.search(before)
        many = mention.value("count") not in ("", "one") or mention.plural
        if not mention.plural and (many or (article and new in _MASS)):
            return None  # "an airspace disease", "several scarring"
        sentence = analysis.sentence(mention.sentence)
        whole = document.lower[sentence.start : mention.low]
        if (
            not article
            and not mention.plural
            and new not in _MASS
            and re.search(r"\b(?:is|of|with)\s+(?:\w+\s+)?$", whole)
        ):
            # "there is pleural thickening": a name that is counted needs its article, before the first word.
            if mention.finding.mass:
                word = document.lower[mention.low : mention.start] or new
                changes.append(Change(mention.low, mention.low, document.cased(f"{indefinite(word)} ")))
        elif article and mention.low == mention.start:
            old, needed = article[1], indefinite(new)
            if old != needed:
                at = article.start(1)
                text = document.text[at : at + len(old)]
                needed = document.cased(needed.capitalize() if text[0].isupper() else needed)
                changes.append(Change(at, at + len(old), needed))
        text = document.text[mention.start : mention.end]
        if document.capitals:
            new = new.upper()
        elif text[0].isupper() and mention.start == sentence.start:
            new = new[0].upper() + new[1:]
        changes.append(Change(mention.start, mention.end, new))
    ordered = sorted(changes)
    if any(a.end > b.start for a, b in itertools.pairwise(ordered)):
        return None
    return tuple(ordered)
