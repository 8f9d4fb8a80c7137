"""English for the phrase banks: templates with slots, articles, number, lists, sentence case."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

_SLOT = re.compile(r"\{([^{}]+)\}")
# Initials that are spoken with a vowel first: an NG tube, an ICD, an SVC filter.
_SPOKEN_VOWEL = re.compile(r"(8|11\b|18\b|[AEFHILMNORSX][A-Z]+\b)")
_VOWEL = re.compile(r"[aeioAEIO]|[uU](?!ni)")


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


def indefinite(words: str) -> str:
    """ "a" or "an", as the first word sounds."""
    return "an" if _SPOKEN_VOWEL.match(words) or (_VOWEL.match(words) and not words.startswith("one")) else "a"


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


def series(words: Sequence[str], conjunction: str, oxford: bool) -> str:
    """ "a, b, or c", or without the last comma."""
    if len(words) < 2:
        return "".join(words)
    comma = "," if oxford and len(words) > 2 else ""
    return f"{', '.join(words[:-1])}{comma} {conjunction} {words[-1]}"


def sentence(text: str) -> str:
    """With a capital first letter, unless the first word starts with a digit."""
    return text[:1].upper() + text[1:]


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
