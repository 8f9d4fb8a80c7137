"""Denials in other words: "No effusion or pneumothorax." in another frame, order, or number of sentences."""

import dataclasses
import functools
import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Variation, fitted
from reeval.synth.english import capital, series
from reeval.synth.mentions import ABSENT, PRESENT, Mention
from reeval.synth.variation.clauses import Clause, neighbours, rewritten, running, table

_PARTS = re.compile(r"(?:\s*,?\s+(?:and/or|or|nor|and)\s+|\s*,\s*)(?:no\s+(?:(?:evidence|findings) of\s+)?)?")
_HOLDS = re.compile(r"\b(?:with|but|to suggest|however|than|change|which|that|is|are|has|of the|longer|for)\b")
# "Areas of consolidation", "findings of edema": words that agree with nothing when they change places.
_LOOSE = re.compile(r"\b(?:areas?|findings?|signs?|typical|foc(?:i|us)|evidence)\b")
# "Disease is seen within the lungs": a clause that no frame can take.
_FINITE = re.compile(r"\b(?:is|are|was|were|has|have)\b")


@dataclasses.dataclass(frozen=True, slots=True)
class Denial:
    """A clause that denies `items` (as written, in running form), each with its only mention. `shared`: a word of the
    first could speak of all ("large"), and `placed`: words behind one could, so that they stay in their order."""

    clause: Clause
    items: tuple[str, ...]
    mentions: tuple[Mention, ...]
    shared: bool
    placed: bool

    @property
    def fixed(self) -> bool:
        return self.placed or (self.shared and len(self.items) > 1)


@functools.cache
def _frame() -> re.Pattern[str]:
    words = table("denials")
    return re.compile(rf"(?:{words['lead']}|{words['lungs']})\s+(?P<items>.+?)(?:\s+{words['tail']})?")


def read(analysis: Analysis, found: Clause, at: int | None = None) -> Denial | None:
    """The denial that a clause is and nothing else; None where it is not quite one. `at`: where its words would begin
    in the text, if it is the end of a sentence with a "no" before it."""
    at = found.start if at is None else at
    frame = _frame().fullmatch(found.words)
    if not frame:
        return None
    low, high = at + frame.start("items"), at + frame.end("items")
    mentions = [m for m in analysis.by_sentence[found.index] if m.start >= low]
    if not mentions or any(m.polarity != ABSENT for m in mentions):
        return None
    # The words between items part them; within a mention nothing is parted.
    edges = [low]
    for match in _PARTS.finditer(analysis.document.lower, low, high):
        if not any(m.low < match.end() and match.start() < m.high for m in mentions):
            edges += [match.start(), match.end()]
    edges.append(high)
    spans = list(zip(edges[::2], edges[1::2], strict=True))
    each = [[m for m in mentions if a <= m.low and m.high <= b] for a, b in spans]
    if any(len(inside) != 1 for inside in each):
        return None
    own = [inside[0] for inside in each]
    for (a, b), mention in zip(spans, own, strict=True):
        rest = analysis.document.lower[a : mention.low] + " " + analysis.document.lower[mention.high : b]
        if _HOLDS.search(rest) or b - mention.high > 24:
            return None
    items = tuple(running(analysis.document, a, b) for a, b in spans)
    if any(_LOOSE.search(item.lower()) or _FINITE.search(item.lower()) for item in items):
        return None
    shared = set(table("denials")["shared"])
    return Denial(
        found,
        items,
        tuple(own),
        bool(shared & set(items[0].lower().split()[:-1])) or (len(items) > 1 and bool(own[0].slots)),
        any(m.high > m.end for m in own),
    )


def _verbs(mentions: tuple[Mention, ...]) -> dict[str, str]:
    """The verb before a list and the one behind it."""
    return {"be": "are" if mentions[0].plural else "is", "is": "are" if mentions[-1].plural else "is"}


def _wanted(denial: Denial, rng: random.Random) -> Iterator[tuple[str, str]]:
    words = table("denials")
    items, mentions = list(denial.items), denial.mentions
    comma = rng.random() < 0.6
    if not denial.fixed and len(items) > 1:
        order = list(range(len(items)))
        while order == sorted(order):
            rng.shuffle(order)
        moved = [items[i] for i in order]
        verbs = _verbs(tuple(mentions[i] for i in order))
        yield "order", rng.choice(words["any"]).format(x=series(moved, "or", comma), **verbs)
        if len(items) == 2:
            yield "negation", rng.choice(words["pair"]).format(a=moved[0], b=moved[1], **verbs)
        cut = rng.randrange(1, len(items))
        # A word shared by a list stays with it; a list cut in two has no such word here.
        first, second = series(moved[:cut], "or", comma), series(moved[cut:], "or", comma)
        one = rng.choice(words["any"][:3]).format(x=first, **_verbs(tuple(mentions[i] for i in order[:cut])))
        other = rng.choice(words["any"][:8]).format(x=second, **_verbs(tuple(mentions[i] for i in order[cut:])))
        yield "split", f"{one}. {capital(other)}"
    for frame in rng.sample(words["any"], 2):
        yield "negation", frame.format(x=series(items, "or", comma), **_verbs(mentions))
    if len(items) == 1 and not denial.shared:
        yield "negation", rng.choice(words["single"]).format(x=items[0], **_verbs(mentions))
        mention = mentions[0]
        if mention.finding.sided and not mention.slots and mention.finding.space == "pleura":
            frame = rng.choice(words["sided"])
            if not mention.plural or "neither" not in frame:
                yield "negation", frame.format(x=items[0], **_verbs(mentions))


_WITHOUT = re.compile(
    r"(?P<with>,?(?: and)? (?:without|with no)(?: evidence of| findings of)?) (?!(?:change|interval|acute))"
)


def parted(analysis: Analysis, found: Clause, rng: random.Random) -> Iterator[Variation]:
    """ "X without Y or Z." as "X. No Y or Z." """
    cues = list(_WITHOUT.finditer(found.words))
    if len(cues) != 1 or re.search(
        r"\b(?:no|not|may|could|which|that|if|free|clear of)\b", found.words[: cues[0].start()]
    ):
        return
    low = found.start + cues[0].end()
    denial = read(analysis, Clause(found.index, low, found.end, "no " + found.words[cues[0].end() :]), low - 3)
    if any(m.polarity != PRESENT for m in analysis.by_sentence[found.index] if m.start < low):
        return
    head = found.words[: cues[0].start()]
    if denial is None or re.search(r"\b(?:is|are|appears?|remains?|otherwise|and|but|grossly|of|the|with)$", head):
        return
    verbs = _verbs(denial.mentions)
    frame = rng.choice(table("denials")["any"][:8])
    new = capital(frame.format(x=series(denial.items, "or", rng.random() < 0.6), **verbs))
    new = analysis.document.cased(new)
    yield Variation("split", (Change(found.start + cues[0].start(), found.end, f". {new}"),))


def variations(analysis: Analysis, denials: dict[int, Denial], rng: random.Random) -> Iterator[Variation]:
    """Each denial in another frame or order, cut in two, or joined with the denial after it."""
    document = analysis.document
    for denial in denials.values():
        for kind, new in _wanted(denial, rng):
            change = rewritten(document, denial.clause, new)
            if change:
                yield Variation(kind, (change,))
    for index, denial in denials.items():
        after = denials.get(index + 1)
        if after is None or denial.fixed or after.fixed or denial.shared or not neighbours(analysis, index):
            continue
        if after.clause.start != analysis.sentence(index + 1).start or len(denial.items) + len(after.items) > 5:
            continue
        items, verbs = [*denial.items, *after.items], _verbs((*denial.mentions, *after.mentions))
        if set(table("denials")["shared"]) & set(items[0].split()[:-1]):
            continue
        new = rng.choice(table("denials")["any"][:8]).format(x=series(items, "or", rng.random() < 0.6), **verbs)
        new = fitted(document, denial.clause.start, new)
        yield Variation("merge", (Change(denial.clause.start, after.clause.end, new),))
