"""What an evaluator took: tokens, seconds and cost a pair; and how its answers were read."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from reeval.judgements import OK, REPAIRED, Judgement
from reeval.pairs import Pair

AMOUNTS = ("input_tokens", "output_tokens", "seconds", "cost")
_RUN = 3


def usage(pairs: Sequence[Pair], judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Of each amount the mean over the `n` pairs that have it, and the total; repairs and parse statuses counted.

    Args:
        pairs, judgements: in the same order.
    """
    found: dict[str, Any] = {}
    for name in AMOUNTS:
        values = [value for each in judgements if (value := getattr(each, name)) is not None]
        total = math.fsum(values) if values else None
        found[name] = {"mean": total / len(values) if total is not None else None, "n": len(values), "total": total}
    repairs: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for pair, each in zip(pairs, judgements, strict=True):
        status = each.parse_status
        statuses[status if status in (OK, REPAIRED) else _safe(status, pair, each, "not parsed")] += 1
        for repair, times in each.repairs.items():
            repairs[_safe(str(repair), pair, each, "other")] += times
    found["repairs"] = dict(sorted(repairs.items()))
    found["repaired_pairs"] = sum(bool(each.repairs) or each.parse_status == REPAIRED for each in judgements)
    found["parse_statuses"] = dict(sorted(statuses.items()))
    return found


def ratio(of: dict[str, Any], to: dict[str, Any], *names: str) -> float | None:
    """The sum of the means of amounts, in proportion to another's; None where an amount is unknown or 0."""
    one, other = ([use[name]["mean"] for name in names] for use in (of, to))
    if None in one or None in other or not sum(other):
        return None
    return sum(one) / sum(other)


def _safe(said: str, pair: Pair, judgement: Judgement, otherwise: str) -> str:
    """A status of a stored file may be anything, report text too: such as shares a run of words with it is not told."""
    words = said.casefold().split()
    runs = {" ".join(words[i : i + _RUN]) for i in range(max(1, len(words) - _RUN + 1))}
    texts = [" ".join(text.casefold().split()) for text in (pair.reference, pair.candidate, *judgement.raw)]
    return otherwise if len(said) > 200 or any(run in text for run in runs for text in texts) else said
