"""What a report says of findings and devices: each mention with its side, site, degree and the rest, and whether it
is asserted, denied or doubtful.

The analysis is cautious: where it is not sure it says "unclear", and what is unclear is not edited.
"""

import dataclasses
import re
from collections.abc import Iterator

from reeval.synth import terms
from reeval.synth.document import PLACEHOLDER, Document
from reeval.synth.terms import Finding, Word

PRESENT, ABSENT, DOUBTFUL, UNCLEAR = "present", "absent", "doubtful", "unclear"

_NO = re.compile(
    r"\b(?:no(?!\s+(?:\S+\s+){0,2}?changes?\b(?! of))(?!\s+longer\b)(?!\s+(?:\S+\s+)?(?:increase|decrease)\b)"
    r"|without|negative for|free (?:of|from)|clear of|absence of|nor|neither|devoid of"
    r"|(?:do|does|did) not (?:show|demonstrate|reveal|have|see))\b"
)
_BREAK = re.compile(
    r";|:|\b(?:but|however|although|though|except|aside from|apart from|other than|otherwise|which|that|while|whereas"
    r"|because|since|to suggest|to indicate|due to|secondary to|related to|given|there (?:is|are))\b|\bwith(?! no\b)\b"
)
_DENIED_AFTER = re.compile(
    r"^[^.;,]{0,40}?\b(?:(?:is|are|was|were) (?:not|no longer|absent|excluded)"
    r"|(?:has|have) (?:resolved|cleared|been removed)"
    r"|(?:not|no longer) (?:seen|identified|visualized|present|appreciated)"
    r"|unlikely|less likely|resolved)\b"
)
_DOUBT = re.compile(
    r"\b(?:may|might|could|can(?:not|'t)|possib\w+|probab\w+|likely|suspect\w*|suggest\w*|questionabl\w+|question"
    r"|exclude[ds]?|rule out|versus|vs|differential|concern\w*|suspicious|favor\w*|if|whether|equivocal|presum\w+"
    r"|either|appearance of|difficult|and/or)\b"
)
_READ_AS = re.compile(
    r"\b(?:consistent with|compatible with|represent(?:s|ing)?|reflect(?:s|ing)?|indicat(?:es|ing|ive of)|due to"
    r"|secondary to|related to|suggest(?:s|ing|ive of|ion of)?|diagnostic of|in keeping with|concerning for"
    r"|suspicious for|from|caused by|associated with)\b"
)
_PAST = re.compile(
    r"\b(?:history of|status post|s/p|h/o|prior to|post|previously"
    r"|evaluat\w+ (?:for|of)|assess\w* (?:for|of)|sensitiv\w+ (?:for|to)|removed|removal of)\b"
)
_MEASURE = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:\s?(?:x|by)\s?\d+(?:\.\d+)?)?)\s?-?(?P<unit>mm|cm|millimeters?|centimeters?)\b"
)
_INTO_PLACE = re.compile(
    r"\s+(?:(?:is|are)\s+)?(?:(?:seen|noted|present|identified|demonstrated|visualized)\s+)?"
    r"(?:in|of|at|within|along|involving|near|overlying|over|on|about|throughout|adjacent to)\s+"
    r"(?:both\s+)?(?:the\s+)?(?=\w)"
)
_INTO_CHANGE = re.compile(
    r",?\s+(?:(?:which\s+)?(?:is|are|has|have|appears?|remains?)\s+)?(?:(?:also|overall|been|again)\s+)?"
    r"(?:(?:seen|noted|present)\s+(?:and|which is|that is)\s+)?(?=\w)"
)
_INTO_SIZE = re.compile(
    r",?\s+(?:(?:which|that|and)\s+)?(?:(?:measuring|measures?|of)\s+)?"
    r"(?:up to\s+|approximately\s+|about\s+|roughly\s+|now\s+)*(?=\d)"
)
# "In the left lower lobe there is a nodule": the site is not read, so that its finding must stay as it is.
_SITE_FIRST = re.compile(
    r"(?:projecting |projected |located |situated )?(?:in|within|at|overlying|along|over|on|near|throughout"
    r"|involving)\b[^.;:]{3,60}?,?\s(?:there (?:is|are)\b|(?:is|are) (?:an?|the|some|several|multiple|two)\b)"
)
_NOT = re.compile(r"\bnot\b(?!\s+(?:\w+\s+)?(?:changed|calcified)\b)")
# Names that are another finding's with a word before them that is not next to them ("calcified 5 mm nodule").
_FAR = r"\s+(?:(?!(?:and|or|with|of|is|are|no|not|in|to)\b)[\w.-]+\s+){0,6}$"
_REFINED = (
    ("nodule", re.compile(rf"(?<![\w-])(?<!partially )(?<!not )calcified{_FAR}"), "calcified_nodule"),
    ("rib_fracture", re.compile(rf"(?<![\w-])(?:old|healed|remote|chronic){_FAR}"), "old_fracture"),
)
_ADJECTIVES = {"upper", "lower", "middle", "mid", "superior", "inferior"}
_BETWEEN = {"", "the", "lateral", "medial", "anterior", "posterior", "peripheral", "central", "mid", "dependent"}
_FOLLOW_UP = re.compile(
    r"(?:this|it|these|they|the (?:finding|lesion|nodule|mass|opacity|effusion|pneumothorax|area|abnormality)s?)\b",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """A word of a mention: text[start:end] gives `name` the `value`."""

    name: str
    value: str
    start: int
    end: int


@dataclasses.dataclass(frozen=True, slots=True)
class Mention:
    """A finding or device named in a report.

    start, end: its name in the text. low, high: the name with all words that belong to it ("small right pleural
    effusion at the base, unchanged"); an article is not among them.
    slots: those words that the lexicon knows, in the order of the text.
    reading: whether it stands as the interpretation of something else ("opacity consistent with pneumonia").
    coordinated: whether the phrase hangs on a neighbour ("right and left effusions"), so that a change of its
    words could change another's meaning.
    clean: whether no placeholder stands in its sentence.
    """

    finding: Finding
    start: int
    end: int
    low: int
    high: int
    sentence: int
    polarity: str
    plural: bool
    reading: bool
    coordinated: bool
    clean: bool
    slots: tuple[Slot, ...]

    def slot(self, name: str) -> Slot | None:
        """The first word of a slot."""
        return next((slot for slot in self.slots if slot.name == name), None)

    def value(self, name: str) -> str:
        """The value of a slot, "" where there is none."""
        slot = self.slot(name)
        return slot.value if slot else ""


def mentions(document: Document) -> tuple[Mention, ...]:
    """All mentions of a report, in its order."""
    found: list[Mention] = []
    for index in range(len(document.sentences)):
        found += _of_sentence(document, index)
    return tuple(found)


def follow_ups(document: Document, index: int) -> list[int]:
    """The sentences after sentence `index` that go on about it: "This measures 8 mm." """
    found = []
    for later in range(index + 1, len(document.sentences)):
        if not _FOLLOW_UP.match(document.of(document.sentences[later])):
            break
        found.append(later)
    return found


def _of_sentence(document: Document, index: int) -> Iterator[Mention]:
    sentence = document.sentences[index]
    start, end = sentence.start, sentence.end
    lower = document.lower
    hits = list(terms.find(lower, start, end))
    heads = [(at, hit) for at, hit in enumerate(hits) if hit[2][0].slot == "finding"]
    clean = not PLACEHOLDER.search(document.text, start, end)
    site_first = _SITE_FIRST.match(lower, start, end) is not None
    for at, (a, b, meanings) in heads:
        slots, low, coordinated = _before(lower, start, hits, at)
        after, high = _after(lower, end, hits, at)
        named = terms.findings()[meanings[0].value]
        finding = _refined(named, lower[start:a])
        if finding.name == "old_fracture" != named.name:
            slots = [slot for slot in slots if slot.name != "age"]  # part of the name now
        polarity, reading = _polarity(lower, start, end, low, a, b, slots)
        if sentence.section == "other":
            polarity = UNCLEAR
        yield Mention(
            finding, a, b, low, high, index, polarity, meanings[0].plural,
            reading or (finding.reading and polarity != ABSENT), coordinated or site_first, clean,
            tuple(sorted({*slots, *after}, key=lambda s: (s.start, s.name))),
        )  # fmt: skip

    for finding, pattern in terms.predicates():
        for match in pattern.finditer(lower, start, end):
            polarity, _ = _polarity(lower, start, end, match.start(), match.start(), match.end(), [])
            if sentence.section == "other" or re.search(r"\b(?:not|no|without)\b", lower[start : match.end()]):
                polarity = UNCLEAR
            inner = [
                s for hit in terms.find(lower, match.start(), match.end()) for s in _slots(*hit) if s.name != "place"
            ]
            before, low, coordinated = _before(
                lower, start, [*(h for h in hits if h[1] <= match.start()), (match.start(), match.end(), ())], -1
            )
            after, high = _after(
                lower, end, [(match.start(), match.end(), ()), *(h for h in hits if h[0] >= match.end())], 0
            )
            # The verb's own last word ("enlarged", "large") is the finding and no slot of it.
            slots = [s for s in (*before, *inner, *after) if s.end != match.end()]
            yield Mention(
                finding, match.start(), match.end(), low, high, index, polarity,
                re.search(r"\b(?:are|appear|remain)\b", match[0]) is not None, False, coordinated, clean, tuple(slots),
            )  # fmt: skip


def _refined(finding: Finding, before: str) -> Finding:
    """The finding that a name means with the words before it."""
    for name, word, other in _REFINED:
        if finding.name == name and word.search(before):
            return terms.findings()[other]
    return finding


def _slots(start: int, end: int, meanings: tuple[Word, ...]) -> Iterator[Slot]:
    for word in meanings:
        if word.slot not in ("finding", "plain"):
            yield Slot(word.slot, word.value, start, end)


def _before(
    lower: str, start: int, hits: list[tuple[int, int, tuple[Word, ...]]], at: int
) -> tuple[list[Slot], int, bool]:
    """Slots left of a name, where they begin, and whether another phrase hangs on them."""
    low = hits[at][0]
    slots: list[Slot] = []
    for a, b, meanings in reversed(hits[:at]):
        if meanings[0].slot == "finding" or lower[b:low].strip() not in ("", ","):
            break
        slots += _slots(a, b, meanings)
        low = a
    measure = list(_MEASURE.finditer(lower, max(start, low - 24), low))
    if measure and re.fullmatch(r"[\s-]*(?:(?:in )?diameter\s)?", lower[measure[-1].end() : low]):
        slots.append(Slot("size", measure[-1][0], measure[-1].start(), measure[-1].end()))
        low = measure[-1].start()
        for a, b, meanings in reversed([hit for hit in hits[:at] if hit[1] <= low]):
            if meanings[0].slot == "finding" or lower[b:low].strip(" ,") not in ("", "approximately", "approximate"):
                break
            slots += _slots(a, b, meanings)
            low = a
    joined = re.search(r"(\w+)\s*(?:,?\s*(?:and/or|and|or|to|/)|,)\s*(?:a |an |the )?$", lower[start:low])
    coordinated = False
    if joined:
        edge = start + joined.start(1) + len(joined[1])
        # "left hilar and right basilar opacities": an adjective before "and" waits for this phrase's name.
        coordinated = joined[1] in _ADJECTIVES or any(
            hit[1] == edge and hit[2] and hit[2][0].slot not in ("finding", "change", "age") for hit in hits[:at]
        )
    return slots, low, coordinated


def _after(lower: str, end: int, hits: list[tuple[int, int, tuple[Word, ...]]], at: int) -> tuple[list[Slot], int]:
    """Slots right of a name, and where they end."""
    high = hits[at][1]
    slots: list[Slot] = []
    rest = [hit for hit in hits[at + 1 :] if hit[2][0].slot != "plain"]
    while True:
        size = _INTO_SIZE.match(lower, high, end)
        measure = _MEASURE.match(lower, size.end(), end) if size else None
        if measure:
            slots.append(Slot("size", measure[0], measure.start(), measure.end()))
            high = measure.end()
            extra = re.match(r"\s+in (?:diameter|size|greatest dimension|maximum dimension)", lower[high:end])
            high += extra.end() if extra else 0
            continue
        taken = _taken(lower, high, end, rest, _INTO_PLACE, ("side", "place"))
        taken = taken or _taken(lower, high, end, rest, _INTO_CHANGE, ("change",))
        taken = taken or _taken(lower, high, end, rest, re.compile(r"\s+"), ("side",), only=("bilaterally",))
        if not taken:
            return slots, high
        slots += taken[0]
        high = taken[1]


def _taken(
    lower: str, high: int, end: int, rest: list[tuple[int, int, tuple[Word, ...]]], into: re.Pattern[str],
    wanted: tuple[str, ...], only: tuple[str, ...] = (),
) -> tuple[list[Slot], int] | None:  # fmt: skip
    match = into.match(lower, high, end)
    if not match:
        return None
    at = match.end()
    slots: list[Slot] = []
    for a, b, meanings in rest:
        if a < at:
            continue
        between = lower[at:a].strip()
        if between not in _BETWEEN or meanings[0].slot not in wanted or (only and lower[a:b] not in only):
            break
        slots += _slots(a, b, meanings)
        at = b
    return (slots, at) if slots else None


def _polarity(lower: str, start: int, end: int, low: int, a: int, b: int, slots: list[Slot]) -> tuple[str, bool]:
    before = lower[start:low]
    cues = list(_NO.finditer(lower, start, a))
    read = list(_READ_AS.finditer(before))
    reading = bool(read) and not _BREAK.search(before, read[-1].end())
    if _PAST.search(before[-40:]):
        return UNCLEAR, reading
    denied = list(_NOT.finditer(before))
    if denied and not cues and not _BREAK.search(before, denied[-1].end()):
        return UNCLEAR, reading
    if re.search(r"\b(?:normal|clear)\s*$", before):  # "clear [of] airspace disease"
        return UNCLEAR, reading
    if cues:
        scope = lower[cues[-1].end() : low]
        if _BREAK.search(scope) or re.search(r"\bhas\b|\bhave\b|\bis\b|\bare\b", scope):
            return UNCLEAR, reading
        joined = re.search(r"\band\b(?!/)", scope)
        if joined and any(slot.name in ("degree", "side", "count", "change") for slot in slots):
            return UNCLEAR, reading
        if joined and re.search(r"\b(?:a|an|the)\s*$", scope):
            return UNCLEAR, reading
        return ABSENT, reading
    if _DENIED_AFTER.match(lower[b:end]):
        return UNCLEAR, reading
    if any(slot.name == "certainty" for slot in slots) or _DOUBT.search(before):
        return DOUBTFUL, reading
    tail = lower[b : min(end, b + 60)]
    if re.match(
        r"[^.;,]{0,25}\b(?:cannot|can't|not be|is possible|possible|suspected|is suggested|versus|vs|or|and/or)\b", tail
    ):
        return DOUBTFUL, reading
    if any(slot.name == "change" and slot.value == "resolved" for slot in slots):
        return UNCLEAR, reading
    return PRESENT, reading
