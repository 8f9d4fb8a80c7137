"""English for the phrase banks: templates with slots, number, adverbs."""

import dataclasses
import re
from collections.abc import Callable, Iterable

from reeval.synth.english import indefinite

_SLOT = re.compile(r"\{([^{}]+)\}")


@dataclasses.dataclass(frozen=True)
class Template:
    """A phrase with slots: `literals` has one element more than `slots`."""

    text: str
    literals: tuple[str, ...]
    slots: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        pieces = _SLOT.split(text)
        assert not any(brace in piece for piece in pieces for brace in "{}"), f"a stray brace in {text!r}"
        return cls(text, tuple(pieces[::2]), tuple(pieces[1::2]))

    def fill(self, value: Callable[[str], str]) -> str:
        """The phrase with value(slot) in each slot."""
        parts = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            parts += [value(slot), literal]
        return "".join(parts)


@dataclasses.dataclass(frozen=True)
class Phrase:
    """A noun phrase without its article; number is "one", "many" or "mass"."""

    text: str
    number: str

    @property
    def many(self) -> bool:
        return self.number == "many"

    def with_article(self, article: str) -> str:
        """`article`: "a" (no word before plurals and mass nouns), "the", or "" for none."""
        if article == "the":
            return f"the {self.text}"
        if article == "a" and self.number == "one":
            return f"{indefinite(self.text)} {self.text}"
        return self.text


def agreeing(slot: str, many: bool) -> str | None:
    """What a slot of number (is, has, was, it, its, this, s:verb) becomes; None if it is no such slot."""
    if slot.startswith("s:"):
        verb = slot[2:]
        return verb if many else verb + "s"
    forms = _FORMS.get(slot)
    return None if forms is None else forms[many]


_FORMS = {
    "is": ("is", "are"),
    "has": ("has", "have"),
    "was": ("was", "were"),
    "it": ("it", "they"),
    "its": ("its", "their"),
    "this": ("this", "these"),
}


def adverb(degree: str) -> str | None:
    """ "mildly" for "mild"; None for a degree that has no adverb."""
    words = degree.split(" to ")
    if all(word in _ADVERBS for word in words):
        return " to ".join(_ADVERBS[word] for word in words)
    return None


_ADVERBS = {word: word + "ly" for word in ("mild", "moderate", "severe", "marked", "minimal", "slight")}


def join(parts: Iterable[str]) -> str:
    """The parts that are not empty, with spaces between."""
    return " ".join(part for part in parts if part)
