"""From verdict rows to figures: the summary of each judge and mode, McNemar's tests, and names for writers."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reeval.evaluate.summary import Summary, summary
from reeval.metrics import dr
from reeval.metrics.intervals import intervals
from reeval.metrics.paired import mcnemar
from reeval.pairs import Error, Pair

Row = Mapping[str, Any]


def summarise(rows: Iterable[Row], pairs: Sequence[Pair], *, seed: int = 0) -> Summary:
    """What the verdict rows of one mode are worth.

    Args:
        rows: one row a pair, as in verdicts.jsonl, in any order.
        pairs: the graded pairs that were judged; one without errors, but a label, counts in D and R alone.
        seed: of the bootstrap.
    Raises:
        ValueError: if a pair has no row or two, a row has no pair or another label, or modes are mixed.
    """
    verdicts = _by_pair(rows, pairs)
    modes = sorted({str(row["mode"]) for row in verdicts})
    if len(modes) != 1:
        raise ValueError(f"a summary is of one mode; these verdicts are of {', '.join(modes) or 'none'}")
    judged = _judgements(verdicts)
    gold = np.array([pair.significant for pair in pairs], bool)
    ends = intervals(gold, judged, np.array([pair.reference_id for pair in pairs]), seed=seed)
    scores = [math.nan if row["significant"] is None else row.get("probability") for row in verdicts]
    errors = [None if row["significant"] is None else [Error(**error) for error in row["errors"]] for row in verdicts]
    made = summary(pairs, judged, None if None in scores else np.array(scores, float), errors, ends, seed=seed)
    return {"mode": modes[0], **made}


def compare(first: Iterable[Row], second: Iterable[Row], pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
    """McNemar's exact tests of two judges on the same pairs, for "D" and "R". Raises as `summarise`."""
    gold = np.array([pair.significant for pair in pairs], bool)
    one, two = (_judgements(_by_pair(rows, pairs)) for rows in (first, second))
    return {name: dataclasses.asdict(test) for name, test in mcnemar(gold, one, two).items()}


def scalars(of: Summary) -> dict[str, float]:
    """A summary as flat names and numbers for a writer of scalars: "D", "D_low", "by_aspect/device/R_n".

    Left out: what is unknown, the points of the curve and, because a page of a thousand charts shows nothing, the
    severities by aspect and type at once and the baselines.
    """
    flat: dict[str, float] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping) and "percent" in value:  # a rate: the name itself is the percentage
            walk(prefix, value["percent"])
            for end in ("low", "high", "n"):
                walk(f"{prefix}_{end}", value[end])
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                walk(f"{prefix}/{name}" if prefix else name, inner)
        elif isinstance(value, list):
            for end, inner in zip(("low", "high"), value, strict=True):
                walk(f"{prefix.removesuffix('_interval')}_{end}", inner)
        elif value is not None and not isinstance(value, str):
            flat[prefix] = float(value)

    severity = {name: value for name, value in (of["severity"] or {}).items() if name != "by_aspect_and_type"}
    left_out = ("baselines", "curve")
    walk("", {name: value for name, value in of.items() if name not in left_out} | {"severity": severity})
    return flat


def _by_pair(rows: Iterable[Row], pairs: Sequence[Pair]) -> list[Row]:
    """The rows in the order of the pairs."""
    row_of: dict[str, Row] = {}
    for row in rows:
        if row["pair_id"] in row_of:
            raise ValueError(f"pair {row['pair_id']!r} has two verdicts in one mode")
        row_of[row["pair_id"]] = row
    missing = [pair.pair_id for pair in pairs if pair.pair_id not in row_of]
    if missing:
        raise ValueError(f"{len(missing)} of {len(pairs)} pairs have no verdict, the first is {missing[0]!r}")
    ordered = [row_of.pop(pair.pair_id) for pair in pairs]
    if row_of:
        raise ValueError(f"{len(row_of)} verdicts are of other pairs, the first is of {next(iter(row_of))!r}")
    for pair, row in zip(pairs, ordered, strict=True):
        if bool(row["gold"]) != pair.significant:
            raise ValueError(f"pair {pair.pair_id!r} has another label than when it was judged; judge it anew")
    return ordered


def _judgements(verdicts: Sequence[Row]) -> np.ndarray:
    code = {True: dr.SIGNIFICANT, False: dr.NOT_SIGNIFICANT, None: dr.UNPARSABLE}
    return np.array([code[row["significant"]] for row in verdicts], np.int8)
