"""Sentences of a section in another order, where none leans on another."""

import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis

# A sentence that leans on what went before it, or gathers what is left: by its first words, or by any of its words.
_FIRST = (
    r"this|these|that|those|it|its|they|he|she|such|both of|otherwise|however|also|specifically|additionally"
    r"|in addition|again|but|and|or|although|though|given|as (?:above|described|noted|before)"
    r"|no (?:other|additional|further)|other|additional|remaining|remainder|the rest|elsewhere|tip|leads?|stable(?=\.)"
    r"|unchanged|consider|clinical|there (?:is|are) (?:also|(?:no )?(?:other|additional|associated))"
    r"|differential|possibly|probably|likely|may|appearance|appearances"
    r"|could|can|might|would|should|is|are|was|were|has|have|measures"
    r"|the (?:finding|lesion|nodule|mass|opacity|opacities|effusion|pneumothorax|area|abnormality|appearance|tip"
    r"|catheter|tube|line|lead|latter|former|patient)s?"
)
_BEGUN = r"recommend|suggest|correlat|follow|the remain"
_ANYWHERE = (
    r"\b(?:otherwise|elsewhere|also|described above|as above|aforementioned|the above|additional|other|these|this|those"
    r"|associated|remaining|remainder|respectively|rest of)\b"
)
_LEANS = re.compile(rf"^(?:(?:{_FIRST})\b|{_BEGUN})|{_ANYWHERE}")
# What opens a report stays first.
_OPENS = re.compile(
    r"^(?:pa|ap|frontal|two|2|single|portable|comparison|compared)\b|\bviews?\b|\bimages?\b|radiographs? of|obtained"
    r"|status post|history"
)


def orders(analysis: Analysis, rng: random.Random) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Runs of consecutive sentences of one section's prose (their indices) and a harmless new order of the same."""
    document = analysis.document
    runs: list[list[int]] = [[]]
    for index, sentence in enumerate(document.sentences):
        words = document.lower[sentence.start : sentence.end]
        leans = _LEANS.search(words) is not None
        free = not (
            leans or sentence.item or sentence.heading or sentence.section == "other" or _OPENS.search(words)
            or not words.endswith(".") or words.endswith("..")
        )  # fmt: skip
        previous = document.sentences[index - 1] if index else None
        if previous is not None:
            gap = document.text[previous.end : sentence.start]
            if previous.section != sentence.section or gap.strip() or not gap or gap.count("\n") > 1:
                runs.append([])
        if leans and runs[-1]:
            runs[-1].pop()  # what it leans on stays before it
        if free:
            runs[-1].append(index)
        else:
            runs.append([])
    for run in runs:
        if len(run) < 2:
            continue
        drawn = set()
        for _ in range(3):
            new = run[:]
            if len(run) > 3 and rng.random() < 0.5:
                at = rng.randrange(len(run) - 1)
                new[at], new[at + 1] = new[at + 1], new[at]
            else:
                rng.shuffle(new)
            if new != run and tuple(new) not in drawn:
                drawn.add(tuple(new))
                yield tuple(run), tuple(new)
