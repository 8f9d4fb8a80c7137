"""Statements of normality in a report, by the patterns of `normal.toml`, and which findings they rule out."""

import dataclasses
import functools
import re

from reeval.synth import toml
from reeval.synth.document import PLACEHOLDER, Document
from reeval.synth.terms import Finding


@dataclasses.dataclass(frozen=True, slots=True)
class Normal:
    """A statement that something is normal.

    sentence: where it stands. names: which of `normal.toml`. spaces: what it rules out findings in.
    acute: it rules out acute findings only.
    whole: the sentence says nothing else; it could go, or give way to another, without loss of anything else.
    """

    sentence: int
    names: tuple[str, ...]
    spaces: frozenset[str]
    acute: bool
    whole: bool

    def rules_out(self, finding: Finding) -> bool:
        """Whether the finding would contradict it. A device or a benign finding contradicts no normal study."""
        if self.acute and finding.weight == "benign":
            return False
        return finding.space in self.spaces


@functools.cache
def _patterns() -> tuple[tuple[str, frozenset[str], bool, re.Pattern[str]], ...]:
    data = toml.table("normal.toml")
    between = rf"(?:(?!\b(?:{data['abnormal']}))[^.;]){{0,60}}?"
    return tuple(
        (
            entry["name"],
            frozenset(entry["spaces"]),
            entry.get("acute", False),
            re.compile("|".join(f"(?:{p})" for p in entry["patterns"]).replace("<normal>", between)),
        )
        for entry in data["normal"]
    )


# What may stand around a statement without saying more.
_FRAME = re.compile(
    r"(?:specifically|otherwise|overall|currently|again|grossly|there|is|are|it|seen|identified|noted|demonstrated|present"
    r"|today|appears?|in size|size|and|contours?|shape|configuration|appearance|silhouettes?|for size|at this time"
    r"|on this (?:exam|study)|bilaterally|structures|limits|of the (?:thorax|chest)|the|within|normal|clear"
    r"|unremarkable|stable|intact|[,.!; ])+"
)


def normals(document: Document) -> tuple[Normal, ...]:
    """The statements of normality of a report, at most one a sentence, in its order."""
    found = []
    for index, sentence in enumerate(document.sentences):
        if sentence.section == "other":
            continue
        text = document.lower[sentence.start : sentence.end]
        names: list[str] = []
        spaces: set[str] = set()
        acute = True
        rest = text
        for name, ruled_out, only_acute, pattern in _patterns():
            match = pattern.search(text)
            if not match:
                continue
            names.append(name)
            spaces |= ruled_out
            acute &= only_acute or re.search(r"\b(?:acute|active)\b", match[0]) is not None
            rest = rest.replace(match[0], " ")
        if names:
            whole = _FRAME.fullmatch(rest.strip() or ".") is not None and not PLACEHOLDER.search(text)
            found.append(Normal(index, tuple(names), frozenset(spaces), acute, whole))
    return tuple(found)
