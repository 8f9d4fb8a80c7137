"""Reference reports that this project writes itself: a study is drawn as a record, then written in a style.

Three splits differ in their phrases (phrases/*.toml: no two share one) and in what they hold: findings, places,
degrees and layouts marked as reserved occur in held-out reports alone.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from reeval.synth.generator import compose, layout, study
from reeval.synth.generator.banks import SPLITS
from reeval.synth.generator.chance import Chance
from reeval.synth.generator.pen import Pen

__all__ = ["SPLITS", "GeneratedReport", "reports"]

_MOST_SENTENCES = 16
_HIGHEST_MINIMUM = 6  # a report with many findings has few normal statements left to fill it up


@dataclasses.dataclass(frozen=True)
class GeneratedReport:
    """A report and the record it was written from: `study` holds JSON values only."""

    reference_id: str
    text: str
    study: dict[str, Any]


def reports(
    split: str, count: int, seed: int, *, sentences: tuple[int, int] | None = None
) -> Iterator[GeneratedReport]:
    """`count` reports; each depends on its split, the seed and its number alone, byte for byte.

    Args:
        split: one of SPLITS.
        sentences: the fewest and most sentences of a report, which is then prose without headings.
    Raises:
        ValueError: an unknown split, a count or seed below zero, or limits that no report can keep.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
    if count < 0 or seed < 0:
        raise ValueError(f"count {count} and seed {seed} must not be negative")
    if sentences is not None:
        low, high = sentences
        if not (1 <= low <= high <= _MOST_SENTENCES and low <= _HIGHEST_MINIMUM):
            raise ValueError(
                f"sentences {low}-{high}: give a minimum of 1 to {_HIGHEST_MINIMUM} and a maximum from there to "
                f"{_MOST_SENTENCES}"
            )
    return (_report(split, seed, number, sentences) for number in range(count))


def _report(split: str, seed: int, number: int, limits: tuple[int, int] | None) -> GeneratedReport:
    kind = split if limits is None else f"{split}-{limits[0]}to{limits[1]}"
    name = f"{kind}-{seed}-{number:06d}"
    chance = Chance(name)
    drawn = study.draw(split, chance)
    style = layout.draw(split, chance) if limits is None else layout.simple(chance)
    pen = Pen(split, chance, style.mask)
    if limits is None:
        content = compose.full(drawn, pen, headed=style.headed, impression_only=style.name == "impression_only")
    else:
        content = compose.limited(drawn, pen, *limits)
    text = layout.lay_out(content, style, pen, drawn)
    record = dataclasses.asdict(drawn)
    record["normal"] = [{"kind": normal.kind, "claims": sorted(normal.claims)} for normal in content.normals]
    record["style"] = dataclasses.asdict(style)
    return GeneratedReport(name, text, record)
