"""A finding in words: its noun phrase, its sentence, and the sentences that follow it."""

import dataclasses

from reeval.synth.english import capital
from reeval.synth.generator.banks import catalogue
from reeval.synth.generator.grammar import Phrase, Template, adverb, agreeing, join
from reeval.synth.generator.pen import Pen
from reeval.synth.generator.study import OTHER_SIDE, Finding

_NOUN_PHRASES = ("np", "npx", "npd", "noun")
# Places that a sentence of a finding's own implies.
_IMPLIED = ("", "adjective", "thoracic_spine")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a finding is, before its noun and after it; one of the two may be empty."""

    before: str
    after: str


def noun_phrase(
    finding: Finding, pen: Pen, *, extra: str = "", place: str = "any", size: str = "", noun: str = ""
) -> Phrase:
    """The finding with its attributes. place: "any", "before" (where it can) or "none"; noun: another name for it."""
    entry = finding.entry
    named = noun or finding.name or pen.chance.pick(entry["nouns"])
    number = "mass" if noun else noun_phrase_number(finding)
    if number == "many" and not entry.get("plural"):
        named = entry["plurals"][entry["nouns"].index(named)] if "plurals" in entry else named + "s"
    where = Place("", "") if place == "none" else placed(finding, pen, before=place == "before")
    degree = "" if noun else finding.degree
    words = [finding.count, extra, size, degree, where.before, named, where.after]
    return Phrase(join(words), number)


def placed(finding: Finding, pen: Pen, *, before: bool = False, after: bool = False) -> Place:
    """One of the ways to say where the finding is; `before` or `after` prefers that one."""
    if not finding.place:
        return Place("", f"to the {finding.side}" if finding.side else "")
    forms = catalogue("findings")["places"][finding.place]
    both = "both_" if finding.side == "bilateral" else ""
    adjectives, phrases = forms.get(f"{both}adj", []), forms.get(f"{both}at", [])
    use_before = bool(adjectives) and not after and (before or not phrases or pen.chance.happens(0.6))
    options = adjectives if use_before else phrases
    words = pen.chance.pick(options) if options else ""
    words = words.format(
        side=finding.side, nth=ordinal(finding.level), next=ordinal(finding.level + 1), vertebra=f"T{finding.level}"
    )
    return Place(words, "") if use_before else Place("", words)


def ordinal(number: int) -> str:
    return f"{number}th"  # ribs and vertebrae from the fourth on


def can_stand_after(finding: Finding, *, opening: bool = False) -> bool:
    """Whether the place can stand by itself; `opening`: as the first words of a sentence, which "of ..." cannot."""
    if not finding.place:
        return False
    both = "both_" if finding.side == "bilateral" else ""
    phrases = catalogue("findings")["places"][finding.place].get(f"{both}at", [])
    return bool(phrases) and not (opening and any(phrase.startswith(("of ", "involving ")) for phrase in phrases))


def fits(template: Template, finding: Finding) -> bool:
    """Whether the template says all that the finding is, and asks for nothing that it is not."""
    said = set()
    for slot in template.slots:
        last = slot.split()[-1]
        if last in ("np", "npd"):
            said |= {"side", "place", "degree", "count"}
        elif last == "npx":
            said |= {"degree", "count"}
        elif slot == "at":
            if not can_stand_after(finding, opening=template.literals[0] == ""):
                return False
            said |= {"side", "place"}
        elif slot == "side":
            said.add("side")
        elif slot == "degree":
            if not finding.degree:
                return False
            said.add("degree")
        elif slot == "degreely":
            if adverb(finding.degree) is None:
                return False
            said.add("degree")
    if (finding.degree and "degree" not in said) or (finding.count and "count" not in said):
        return False
    if finding.place not in _IMPLIED and "place" not in said:
        return False
    return not finding.side or "side" in said or (finding.side == "bilateral" and finding.place == "adjective")


class FindingWords:
    """Fills the slots of a template for one finding; afterwards `many` says which number its noun had."""

    def __init__(self, finding: Finding, pen: Pen, *, size: str = "", before: bool = False, noun: str = ""):
        self.finding, self.pen, self.size, self.noun = finding, pen, size, noun
        self.before = before
        self.many = False

    def __call__(self, slot: str) -> str:
        words = slot.split()
        if words[-1] in _NOUN_PHRASES:
            article = words.pop(0) if words[0] in ("a", "the") else ""
            return self._noun(" ".join(words[:-1]), words[-1]).with_article(article)
        agreed = agreeing(slot, self.many)
        if agreed is not None:
            return agreed
        finding = self.finding
        if slot == "at":
            return placed(finding, self.pen, after=True).after
        if slot == "degreely":
            return adverb(finding.degree) or ""
        if slot == "smaller":
            return OTHER_SIDE[finding.larger]
        if slot in ("degree", "side", "size", "reading", "larger"):
            return str(getattr(finding, slot))
        return self.pen.know(slot)

    def _noun(self, extra: str, what: str) -> Phrase:
        if what == "noun":
            return Phrase(self.finding.name or self.pen.chance.pick(self.finding.entry["nouns"]), "mass")
        place = "none" if what == "npx" else "before" if self.before else "any"
        return noun_phrase(self.finding, self.pen, extra=extra, place=place, size=self.size, noun=self.noun)

    def sentence(self, template: Template, tail: str = "") -> str:
        """The filled template; a tail goes before its full stop."""
        # The number of the noun is known before the verb is met, wherever the noun stands.
        number = noun_phrase_number(self.finding) if not self.noun else "mass"
        self.many = number == "many" and any(slot.split()[-1] in ("np", "npx", "npd") for slot in template.slots)
        text = template.fill(self)
        return capital(text[:-1] + tail + "." if tail else text)


def noun_phrase_number(finding: Finding) -> str:
    """ "one", "many" or "mass", as noun_phrase has it."""
    entry = finding.entry
    if entry.get("plural"):
        return "many"
    if entry.get("mass"):
        return "mass"
    return "many" if finding.count or finding.side == "bilateral" or finding.place == "ribs" else "one"


def ends_in_noun(template: Template) -> bool:
    return template.literals[-1] == "." and bool(template.slots) and template.slots[-1].split()[-1] in ("np", "npx")


def describe(finding: Finding, pen: Pen, *, follow: bool = True) -> list[str]:
    """The sentence about a finding, and where `follow` allows it those that refer back to it."""
    entry, chance = finding.entry, pen.chance
    if finding.change == "resolved":
        return [FindingWords(finding, pen).sentence(pen.choose("frames.resolved"))]
    change = "plain" if finding.change == "none" else finding.change
    free = True  # to have a sentence of its own
    later: list[str] = []  # kinds of follow-up, in their order
    size_inside = size_tail = reading_tail = False
    width = bool(finding.size) and not entry.get("size_adjective")
    if finding.size:
        way = chance.pick(("adjective", "tail", "follow") if entry.get("size_adjective") else ("tail", "follow"))
        size_inside, size_tail = way == "adjective", way == "tail" or (way == "follow" and not follow)
        if not size_inside and not size_tail:
            later.append("frames.width_follow" if width else "frames.size_follow")
    if change != "plain" and follow and chance.happens(0.2):
        later.append(f"frames.change_follow.{change}")
        change, free = "plain", False
    if finding.certainty != "definite":
        change = finding.certainty
    if finding.reading:
        reading_tail = not follow or chance.happens(0.65)
        if not reading_tail:
            later.append(f"frames.reading_follow.{hedge(finding, pen)}")
    template = None
    own = f"own.{finding.kind}.{change}"
    free = free and not finding.size and not (reading_tail and finding.hedge != "cause")
    if pen.has(own) and free and chance.happens(entry.get("own", 0.4)):
        template = pen.choose_if(own, lambda option: fits(option, finding))
    if template is None:
        bare = size_tail or reading_tail or bool(finding.larger)
        template = pen.choose_if(
            f"frames.{change}", lambda option: fits(option, finding) and (not bare or ends_in_noun(option))
        )
    assert template is not None, f"no phrase of frames.{change} fits {finding.kind}"
    words = FindingWords(finding, pen, size=finding.size if size_inside else "")
    tail = ""
    if finding.larger:
        tail += _tail("frames.asymmetry", words, pen)
    if size_tail:
        tail += _tail("frames.width_tail" if width else "frames.size_tail", words, pen)
    if reading_tail:
        tail += _tail(f"frames.reading_tail.{hedge(finding, pen)}", words, pen)
    said = [words.sentence(template, tail)]
    for key in later:
        said.append(capital(pen.choose(key).fill(words)))
    return said


def describe_both(finding: Finding, partner: Finding, pen: Pen) -> list[str]:
    """One sentence about two findings that need no more words than their noun phrases."""
    other = noun_phrase(partner, pen).text
    words = FindingWords(finding, pen)
    template = pen.choose("frames.joint")
    words.many = noun_phrase_number(finding) == "many"
    return [capital(template.fill(lambda slot: other if slot == "other" else words(slot)))]


def plain(finding: Finding) -> bool:
    """Whether its noun phrase says all of the finding."""
    said_elsewhere = finding.reading or finding.size or finding.larger
    return finding.change == "none" and finding.certainty == "definite" and not said_elsewhere


def hedge(finding: Finding, pen: Pen) -> str:
    """The kind of phrase that hedges the reading: "concern" is a way to say that something grave is possible."""
    grave = finding.reading in catalogue("findings")["grave"]
    return "concern" if finding.hedge == "possible" and grave and pen.chance.happens(0.5) else finding.hedge


def _tail(key: str, words: FindingWords, pen: Pen) -> str:
    words.many = noun_phrase_number(words.finding) == "many"
    return pen.choose(key).fill(words)


def clear_side(findings: list[Finding]) -> str:
    """The side whose lung no finding touches; empty if there is none."""
    present = [f for f in findings if f.change != "resolved" and f.entry["organ"] in ("lungs", "pleura", "vessels")]
    sides = {finding.side for finding in present}
    lungs = any(finding.entry["organ"] == "lungs" for finding in present)
    return OTHER_SIDE.get(sides.pop(), "") if lungs and len(sides) == 1 else ""
