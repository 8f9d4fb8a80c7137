"""The largest batch that fits, found with few compilations."""

import math
from collections.abc import Callable


def largest(peak: Callable[[int], float], limit: float, unit: int, *, most: int = 1024) -> int:
    """The largest multiple of `unit` whose peak is within `limit`, at most `most` of it; 0 if none is.

    Memory grows nearly in a straight line with rows, so the next to ask is where a line through two answers meets the
    limit. Where it does not, each second question halves what is left.

    Args:
        peak: of so many rows; infinite where it is only known not to fit. Grows with rows.
        limit: in the same unit, bytes or other.
    """
    good, bad = 0, most + 1
    known: dict[int, float] = {}
    ask = 1
    while bad - good > 1:
        left = bad - good
        answer = peak(ask * unit)
        if answer <= limit:
            good = ask
        else:
            bad = ask
        if math.isfinite(answer):
            known[ask] = answer
        surest = (good + bad) // 2 if bad <= most else 2 * good
        straight = len(known) == 2 or bad - good <= left // 2 + 1
        ask = min(max(_on_the_line(known, limit) if straight else surest, good + 1), bad - 1)
    return good * unit


def _on_the_line(known: dict[int, float], limit: float) -> int:
    """Where the two answers nearest to the limit say that it is; twice as many as asked where they say nothing."""
    low, high = sorted(sorted(known, key=lambda n: abs(known[n] - limit))[:2]) if len(known) > 1 else (1, 1)
    if low == high or known[high] <= known[low]:
        return 2 * max(known, default=1)
    return int(low + (limit - known[low]) * (high - low) / (known[high] - known[low]))
