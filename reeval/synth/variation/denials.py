"""Denials in other words: "No effusion or pneumothorax." in another frame, order, or number of sentences."""

import dataclasses
import functools
import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Variation, fitted
from reeval.synth.mentions import ABSENT, Mention
from reeval.synth.variation.clauses import Clause, joined, neighbours, rewritten, running, table, upper_first

_PARTS = re.compile(r"\s*,?\s+(?:and/or|or|nor|and)\s+(?:no\s+)?|\s*,\s*(?:no\s+)?")
_HOLDS = re.compile(r"\b(?:with|but|to suggest|however|than|change|which|that|is|are|has|of the|longer|for)\b")


@dataclasses.dataclass(frozen=True, slots=True)
class Denial:
    """A clause that denies `items` (as written, in running form), each with its only mention; `lungs` where it says
    of what the lungs are free; `fixed` where the items' order bears on the meaning."""

    clause: Clause
    items: tuple[str, ...]
    mentions: tuple[Mention, ...]
    lungs: bool
    fixed: bool


@functools.cache
def _frame() -> re.Pattern[str]:
    words = table("denials")
    return re.compile(
        rf"(?:(?P<lead>{words['lead']})|(?P<lungs>{words['lungs']}))\s+(?P<items>.+?)(?:\s+{words['tail']})?"
    )


def read(analysis: Analysis, found: Clause) -> Denial | None:
    """The denial that a clause is and nothing else; None where it is not quite one."""
    frame = _frame().fullmatch(found.words)
    if not frame:
        return None
    low, high = found.start + frame.start("items"), found.start + frame.end("items")
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
    shared = set(table("denials")["shared"])
    fixed = len(items) > 1 and bool(shared & set(items[0].lower().split()[:-1]))
    return Denial(found, items, tuple(own), frame["lungs"] is not None, fixed)


def _is(mentions: tuple[Mention, ...]) -> str:
    return "are" if mentions[-1].plural else "is"


def _wanted(denial: Denial, rng: random.Random) -> Iterator[tuple[str, str]]:
    words = table("denials")
    items, mentions = list(denial.items), denial.mentions
    comma = rng.random() < 0.6
    if not denial.fixed and len(items) > 1:
        order = list(range(len(items)))
        while order == sorted(order):
            rng.shuffle(order)
        moved = [items[i] for i in order]
        is_ = _is(tuple(mentions[i] for i in order))
        yield "order", rng.choice(words["any"]).format(x=joined(moved, "or", comma), **{"is": is_})
        if len(items) == 2:
            yield "negation", rng.choice(words["pair"]).format(a=moved[0], b=moved[1], **{"is": is_})
        cut = rng.randrange(1, len(items))
        # A word shared by a list stays with it; a list cut in two has no such word here.
        first, second = joined(moved[:cut], "or", comma), joined(moved[cut:], "or", comma)
        one = rng.choice(words["any"][:3]).format(x=first, **{"is": _is(tuple(mentions[i] for i in order[:cut]))})
        other = rng.choice(words["any"][:8]).format(x=second, **{"is": _is(tuple(mentions[i] for i in order[cut:]))})
        yield "split", f"{one}. {upper_first(other)}"
    for frame in rng.sample(words["any"], 2):
        yield "negation", frame.format(x=joined(items, "or", comma), **{"is": _is(mentions)})
    if len(items) == 1:
        yield "negation", rng.choice(words["single"]).format(x=items[0], **{"is": _is(mentions)})
        mention = mentions[0]
        if mention.finding.sided and not mention.slots and mention.finding.space == "pleura":
            frame = rng.choice(words["sided"])
            if not mention.plural or "neither" not in frame:
                yield "negation", frame.format(x=items[0], **{"is": _is(mentions)})


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
        if after is None or denial.fixed or after.fixed or not neighbours(analysis, index):
            continue
        if after.clause.start != analysis.sentence(index + 1).start or len(denial.items) + len(after.items) > 5:
            continue
        items, is_ = [*denial.items, *after.items], _is((*denial.mentions, *after.mentions))
        if set(table("denials")["shared"]) & set(items[0].split()[:-1]):
            continue
        new = rng.choice(table("denials")["any"][:8]).format(x=joined(items, "or", rng.random() < 0.6), **{"is": is_})
        new = fitted(document, denial.clause.start, new)
        yield Variation("merge", (Change(denial.clause.start, after.clause.end, new),))
