"""The largest batch that fits, by doubling and bisecting."""

from collections.abc import Callable


def largest(fits: Callable[[int], bool], unit: int, *, most: int = 1024) -> int:
    """The largest multiple of `unit` that fits, at most `most` of it, asked as seldom as can be; 0 if none does.

    Args:
        fits: whether a multiple does; where one does, smaller ones do.
    """
    good, bad = 0, None
    step = 1
    while bad is None and good < most:
        if fits(step * unit):
            good, step = step, min(2 * step, most)
        else:
            bad = step
    while bad is not None and bad - good > 1:
        middle = (good + bad) // 2
        if fits(middle * unit):
            good = middle
        else:
            bad = middle
    return good * unit
