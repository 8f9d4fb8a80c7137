"""Present findings said in other words: the same slots in other places of the phrase, in another frame."""

import dataclasses
import itertools
import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Variation, fitted
from reeval.synth.english import capital, series
from reeval.synth.mentions import PRESENT, Mention, Slot
from reeval.synth.variation.clauses import Clause, article, rewritten, table
from reeval.synth.variation.nouns import Phrase, noun, phrase, whole

# After these a phrase may end in other words than before without being read on.
_FOLLOWED = re.compile(
    r"\s*(?:$|[.;]|,? (?:which|that|with|may|could|is|are|suggest\w*|consistent|overlying|compatible)\b)"
)


def _phrases(analysis: Analysis, mention: Mention, rng: random.Random) -> Iterator[str]:
    """The phrases that some findings have of their own, where the report says no more than these can."""
    entries = table("findings")["phrases"].get(mention.finding.name)
    adverbs = table("findings")["adverbs"]
    if not entries or any(slot.name not in ("degree", "side", "change", "place") for slot in mention.slots):
        return
    lower = analysis.document.lower
    words = {slot.name: slot for slot in mention.slots}
    if len(words) < len([s for s in mention.slots if s.name != "place"]):
        return
    degree = _text(lower, words.get("degree"))
    degree = next((d for d, ly in adverbs.items() if degree in (d, ly)), degree)
    change = _text(lower, words.get("change"))
    if (degree and degree not in adverbs) or change not in ("", "stable", "unchanged"):
        return
    side = words["side"].value if "side" in words else ""
    # All words of the mention must be understood: its slots and its name.
    rest = lower[mention.low : mention.high]
    for word in (degree, adverbs.get(degree, ""), change, side):
        rest = re.sub(rf"\b{word}\b", " ", rest) if word else rest
    rest = re.sub(r"\b(?:the|is|are|appears?|remains?|in size|of|lungs?|,)\b|,", " ", rest)
    known = " ".join(entries) + " hyperaerated inflation expanded large heart size thoracic cardiac low volume volumes"
    if any(token not in known for token in rest.split()) or "remain" in lower[mention.low : mention.high]:
        return
    if "ectatic" in rest or "unfold" in rest or "uncoil" in rest:
        return
    fitting = [e for e in entries if ("{s}" in e) == bool(side) and ("{d}" in e or "{ly}" in e or not degree)]
    for entry in rng.sample(fitting, min(4, len(fitting))):
        new = entry.format(d=degree, ly=adverbs.get(degree, ""), s=side)
        if change:
            verbal = re.search(r"\b(?:is|are)\b", new) is not None
            new = f"{new}, {change}" if verbal or rng.random() < 0.5 else f"{change} {new}"
        yield new


def _text(lower: str, slot: Slot | None) -> str:
    return lower[slot.start : slot.end] if slot else ""


_TRAILING = re.compile(
    r"(?P<phrase>(?:of|in|at|within|along|overlying|projecting over|involving|throughout) (?:the |both )?"
    r"(?!(?:the )?(?:patient|setting|differential))"
    r"(?:(?!(?:and|with|or|that|which|is|are|as|on|seen|noted|identified|present|may|has)\b)[a-z'-]+ ?){1,5})"
)


def _around(words: str, low: int, high: int) -> tuple[bool, str] | None:
    """Whether the words around a mention are a mere frame: (it says "again", words behind it that are its place); None
    if they say more."""
    before, after = words[:low], words[high:].strip()
    again = bool(re.search(r"\bagain\b", before + after))
    before = re.sub(r"\b(?:again )?(?:seen|noted) (?:is|are) ", "there is ", before.replace("again ", ""))
    after = after.replace("again ", "")
    frames = table("findings")["frames"]
    if not re.fullmatch(frames["lead"] + r"(?:the )?", before):
        return None
    match = re.fullmatch(rf"(?:{_TRAILING.pattern})?(?:\b{frames['tail']})?", after)
    return (again, (match["phrase"] or "").strip()) if match else None


def variations(analysis: Analysis, found: list[Clause], rng: random.Random) -> Iterator[Variation]:
    """Each present finding in other words: the whole sentence where it says nothing else, its phrase where it does."""
    document = analysis.document
    for clause in found:
        present = [m for m in analysis.by_sentence[clause.index] if m.low >= clause.start]
        frame = None
        if len(present) == 1:
            mention = present[0]
            frame = _around(clause.words, mention.low - clause.start, mention.high - clause.start)
        if frame and mention.polarity == PRESENT and not mention.coordinated:
            yield from _recast(analysis, clause, mention, frame, rng)
            continue
        yield from _several(analysis, clause, present, rng)
        for mention in present:
            parts = phrase(analysis, mention)
            if parts is None or parts.change or parts.said_seen:
                continue
            front, back = noun(parts, rng)
            old = document.text[mention.low : mention.high]
            new = whole(front, back)
            follows = _FOLLOWED.match(document.lower, mention.high, clause.end)
            if back and not parts.after and not follows:
                continue  # "1 cm nodule left apex": what follows would be read with the new end
            if back and not parts.after and re.search(r"\b(?:and|or),? $", document.lower[clause.start : mention.low]):
                continue  # the new end would be read of both
            if document.text[max(clause.start, mention.low - 1) : mention.low] in ("/", "-"):
                continue
            before = re.search(r"\b(an?) $", document.lower[clause.start : mention.low])
            if before and article(new).split()[0] != before[1]:
                continue
            if new.lower() != " ".join(old.lower().split()):
                yield Variation("attribute", (Change(mention.low, mention.high, fitted(document, mention.low, new)),))


def _recast(
    analysis: Analysis, clause: Clause, mention: Mention, frame: tuple[bool, str], rng: random.Random
) -> Iterator[Variation]:
    document = analysis.document
    again, trailing = frame
    drawn: list[str] = []
    if not again and not trailing:
        drawn += _phrases(analysis, mention, rng)
    parts = phrase(analysis, mention, trailing)
    if parts and not clause.words.startswith("the "):
        drawn += [_framed(parts, again, rng) for _ in range(4)]
    for new in dict.fromkeys(drawn):
        change = rewritten(document, clause, new)
        if change:
            yield Variation("recast", (change,))


_LEANING = re.compile(r"\b(?:associated|adjacent|resultant|overlying|underlying|secondary)\b")
_JOINS = re.compile(r" and |, and |, |; | with ")


def _several(analysis: Analysis, clause: Clause, present: list[Mention], rng: random.Random) -> Iterator[Variation]:
    """A sentence that only names two or three findings ("Low volumes and basilar atelectasis."): each in a sentence of
    its own, or all in another order."""
    document = analysis.document
    if not 2 <= len(present) <= 3 or any(m.polarity != PRESENT or m.coordinated for m in present):
        return
    parts = [phrase(analysis, mention) for mention in present]
    gaps = [document.lower[one.high : other.low] for one, other in itertools.pairwise(present)]
    edges = document.lower[clause.start : present[0].low], document.lower[present[-1].high : clause.end]
    if not all(parts) or not all(map(_JOINS.fullmatch, gaps)) or edges[1].strip():
        return
    if not re.fullmatch(table("findings")["frames"]["lead"], edges[0]) or "evidence" in edges[0]:
        return
    # "Right effusion and atelectasis": the first one's side may be the second one's, too.
    if any(m.slot("side") or m.slot("degree") or m.slot("change") for m in present[:-1]) and not all(
        len(m.slots) for m in present[1:]
    ):
        return
    if any(_LEANING.search(p.before) for p in parts if p):
        return
    said = [_framed(part, False, rng) for part in parts if part]
    new = fitted(document, clause.start, ". ".join([said[0], *map(capital, said[1:])]))
    yield Variation("split", (Change(clause.start, clause.end, new),))
    if " with " not in gaps and "," not in "".join(whole(*noun(part, rng)) for part in parts if part):
        nouns = [whole(*noun(part, rng)) for part in parts if part]
        bare = [part.bare(part.name) for part in parts if part]
        order = list(range(len(nouns)))
        rng.shuffle(order)
        names = [nouns[i] if bare[i] or not edges[0] else article(nouns[i]) for i in order]
        first = parts[order[0]]
        assert first is not None
        lead = f"there {first.verbs()['is']} " if edges[0].startswith("there") else ""
        change = rewritten(document, clause, lead + series(names, "and"))
        if change:
            yield Variation("order", (change,))


def _framed(parts: Phrase, again: bool, rng: random.Random) -> str:
    """A sentence that says the phrase and nothing else."""
    frames = table("findings")["frames"]
    verbs = parts.verbs()
    if parts.change and not again and rng.random() < 0.3:
        front, back = noun(dataclasses.replace(parts, change=""), rng)
        says = rng.choice(table("findings")["changes"][parts.change]["says"]).format(**verbs)
        says = says.replace("remains", "remain") if parts.plural else says
        return f"{whole(front, back)} {says}"
    front, back = noun(parts, rng)
    said = whole(front, back)
    bare = parts.bare(parts.name) or front.startswith("interval ")
    one = said if bare else article(said)
    frame = rng.choice(frames["again"] if again else [*frames["plain"], *frames["fragment"]])
    if "," in back and ("{is}" in frame or frame.startswith("{np} ")):
        frame = "{there} again {a}" if again else "{np}"
    if back and frame in ("{np} noted", "{np} seen"):
        frame = "{a} {is} seen"
    if (
        "{a} {is}" in frame
        and back
        and not again
        and not back.startswith(("of ", "measuring", ","))
        and rng.random() < 0.5
    ):
        # "A small effusion is seen on the right."
        return frame.format(a=front if bare else article(front), **verbs) + f" {back}"
    return frame.format(a=one, np=said, there=f"there {verbs['is']}", **verbs)
