"""The noun phrase of a present finding, taken apart and put together with its slots in other places."""

import dataclasses
import functools
import random
import re
from typing import Any

from reeval.synth.analysis import Analysis
from reeval.synth.mentions import PRESENT, Mention
from reeval.synth.variation.clauses import running, table

_PLACED = re.compile(
    r"(?P<seen>(?:(?:is|are) )?(?:again )?(?:seen|noted|present|identified|demonstrated|visualized) )?"
    r"(?P<place>(?:in|at|of|on|within|along|throughout) .+)"
)
_CHANGES = "stable|unchanged|new|increased|decreased|improved"
_CHANGED = re.compile(rf",? ?(?:(?:which )?(?:is|are|has|have) )?(?P<change>{_CHANGES})$")


@dataclasses.dataclass(frozen=True, slots=True)
class Phrase:
    """A finding's phrase in its parts, all as written in running form: words before the name, the name, words after
    it, and its change and size, which were taken out of these."""

    mention: Mention
    before: str
    name: str
    after: str
    change: str
    size: str
    said_seen: bool

    @property
    def plural(self) -> bool:
        return self.mention.plural or re.search(r"(?<![siu])s$", self.name) is not None

    def verbs(self) -> dict[str, str]:
        return {"is": "are", "has": "have"} if self.plural else {"is": "is", "has": "has"}

    def bare(self, name: str) -> bool:
        """Whether the noun stands without an article."""
        words = table("findings")["articles"]
        if self.plural or self.mention.slot("count") or re.search(words["without"], name):
            return True
        return self.mention.finding.mass and not re.search(words["with"], name)


def phrase(analysis: Analysis, mention: Mention, trailing: str = "") -> Phrase | None:
    """The parts of a present mention; None where its words are more than its slots. `trailing`: words behind it that
    are no slot of it and stay its last ones ("of the aorta")."""
    document = analysis.document
    if mention.polarity != PRESENT or mention.coordinated:
        return None
    if any(slot.name == "certainty" or (slot.name, slot.value) == ("change", "resolved") for slot in mention.slots):
        return None
    if re.search(
        r"\b(?:approximately|approximate|about|roughly|nearly|up to)\s+$", document.lower[: mention.low][-16:]
    ):
        return None  # the word belongs to the size and would be left behind
    if re.search(r"\b(?:left|right|upper|lower|middle|mid)\s+$", document.lower[: mention.low][-16:]):
        return None  # another place before this one: "left upper right basilar atelectasis"
    if {"left", "right"} <= set(re.findall(r"\w+", document.lower[mention.low : mention.high])):
        return None
    if "-\n" in document.text[mention.low : mention.high]:
        return None  # a word cut in two
    names = [slot.name for slot in mention.slots]
    if any(names.count(name) > 1 for name in ("side", "change", "size", "degree", "age")):
        return None
    if re.search(r"\b(?:is|are|appears?|remains?)\b", document.lower[mention.start : mention.end]):
        return None  # a clause that stands for the name
    before, after = running(document, mention.low, mention.start), document.lower[mention.end : mention.high]
    before, after = " ".join(before.split()), " ".join(after.split())
    change = size = ""
    slot = mention.slot("change")
    if slot and slot.start < mention.start:
        change = document.lower[slot.start : slot.end]
        if not re.fullmatch(_CHANGES, change):
            return None
        before = " ".join(re.sub(rf"\b{change}\b,?", "", before, count=1, flags=re.I).split())
    elif slot:
        match = _CHANGED.search(after)
        if not match:
            return None
        change, after = match["change"], after[: match.start()].strip()
    slot = mention.slot("size")
    if slot:
        size = document.text[slot.start : slot.end]
        if slot.start < mention.start:
            if size.lower() not in before.lower():
                return None
            at = before.lower().index(size.lower())
            before = " ".join((before[:at] + before[at + len(size) :]).replace(" - ", " ").split())
        else:
            match = re.search(r",? ?(?:which )?(?:measuring|measures) \d[^,]*$", after)
            if not match or match[0].split()[-2:] != size.lower().split()[-2:]:
                return None
            after = after[: match.start()].strip()
    seen = False
    if trailing and (size or change or re.search(r"\b(?:is|are)\b", after)):
        return None
    if after and not trailing:
        placed = _PLACED.fullmatch(after)
        if not placed:
            return _bilateral(after, mention, before, document.text[mention.start : mention.end], change, size)
        seen, after = placed["seen"] is not None, placed["place"]
        if "again" in (placed["seen"] or ""):
            return None
    name = running(document, mention.start, mention.end)
    return Phrase(mention, before, name, f"{after} {trailing}".strip(), change, size, seen)


def _bilateral(after: str, mention: Mention, before: str, name: str, change: str, size: str) -> Phrase | None:
    """ "bilaterally" is all that may follow a name without a preposition."""
    if after != "bilaterally":
        return None
    return Phrase(mention, before, name[:1].lower() + name[1:], after, change, size, False)


@functools.cache
def _places() -> tuple[tuple[re.Pattern[str], re.Pattern[str], dict[str, Any]], ...]:
    """Each place before and after a name, as patterns, with its entry."""
    made = []
    for entry in table("findings")["place"]:
        before, after = (re.escape(entry[key]).replace(r"\{s\}", "(?P<s>left|right)") for key in ("before", "after"))
        made.append((re.compile(rf"\b{before}$"), re.compile(after), entry))
    return tuple(made)


def _noun(parts: Phrase, rng: random.Random) -> tuple[str, str]:
    """(words before and name, words after) with sides and places where they may also stand."""
    before, after, mention = parts.before, parts.after, parts.mention
    name = parts.name
    names = table("findings")["names"].get(mention.finding.name)
    if (
        names
        and name in names
        and rng.random() < 0.5
        and not (name == names[0] and before.endswith(("pleural", "pulmonary", "lung")))
    ):
        name = rng.choice(names)
    elif names and mention.plural and rng.random() < 0.5:
        plurals = [f"{other}s" for other in names if f"{other}s" in mention.finding.plural]
        if name in plurals and not before.endswith(("pleural", "pulmonary", "lung")):
            name = rng.choice(plurals)
    places = {slot.value for slot in mention.slots if slot.name == "place"} - {"lung"}
    side = mention.value("side")
    roll = rng.random()
    if before and not after:
        for pattern, _, entry in _places():
            match = pattern.search(before)
            if not match:
                continue
            said = match.groupdict().get("s") or ""
            rest = before[: match.start()].strip()
            short = entry.get("short", {})
            if said in short and roll < 0.3:
                return f"{rest} {short[said]} {name}".strip(), ""
            if roll < 0.4 and "same" in entry:
                return f"{rest} {rng.choice(entry['same'])} {name}".strip(), ""
            if roll < 0.85:
                form = rng.choice([entry["after"], *entry.get("also", ())])
                return f"{rest} {name}".strip(), form.format(s=said)
            return f"{before} {name}", ""
    if after and not re.search(r"\b(?:left|right|bi\w+|both)\b", before):
        for _, pattern, entry in _places():
            match = pattern.fullmatch(after)
            if not match:
                continue
            said = match.groupdict().get("s") or ""
            short = entry.get("short", {})
            if said in short and roll < 0.35:
                return f"{before} {name}".strip(), f"in the {short[said]}"
            if roll < 0.85:
                return f"{before} {entry['before'].format(s=said)} {name}".strip(), ""
            break
    if (
        side
        and not places
        and not after
        and mention.finding.sided
        and re.search(r"\b(?:left|right|bilateral)\b", before)
    ):
        word = re.search(r"\b(left[- ]sided|right[- ]sided|left|right|bilateral)\b", before)
        assert word is not None
        rest = " ".join((before[: word.start()] + before[word.end() :]).split())
        if word[0] == "bilateral":
            if roll < 0.35:
                return f"{rest} {name}".strip(), "bilaterally"
            if roll < 0.6:
                return f"{rest} {name}".strip(), "on both sides"
            if roll < 0.85 and mention.plural:
                both = rng.choice(["left and right", "right and left"])
                return f"{before[: word.start()]}{both}{before[word.end() :]} {name}", ""
        else:
            plain = word[0].split("-")[0].split()[0]
            if roll < 0.5 and not (mention.finding.device and rest):
                return f"{rest} {name}".strip(), f"on the {plain}"
            if roll < 0.85:
                other = plain if word[0].endswith("sided") else f"{plain}-sided"
                return f"{before[: word.start()]}{other}{before[word.end() :]} {name}", ""
    match = re.fullmatch(r"on the (left|right)", after)
    if match and not places and mention.finding.sided and not re.search(r"\b(?:left|right|bilateral)\b", before):
        return f"{before} {match[1]} {name}".strip(), ""
    return f"{before} {name}".strip(), after


def noun(parts: Phrase, rng: random.Random) -> tuple[str, str]:
    """(the noun with what stands before it, what follows), size and change included."""
    front, back = _noun(parts, rng)
    if parts.size:
        if rng.random() < 0.5:
            front = f"{parts.size} {front}"
        else:
            back = f"{back} measuring {parts.size}".strip()
    if parts.change:
        words = table("findings")["changes"][parts.change]
        if rng.random() < 0.6:
            front = f"{rng.choice(words['before'])} {front}"
        else:
            back = f"{back}, {rng.choice(words['after'])}"
    return front, back


def whole(front: str, back: str) -> str:
    """What `noun` gave, in one."""
    return front + (back if back.startswith(",") else f" {back}" if back else "")
