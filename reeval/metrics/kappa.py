"""How far raters agree on labels beyond what chance would have them: Cohen's kappa of two, Fleiss' of more."""

import math

import numpy as np


def cohen(one: np.ndarray, other: np.ndarray) -> float:
    """Cohen's kappa (Educ. Psychol. Meas. 1960; 20:37) of two columns of labels; nan where chance would agree, too."""
    if not len(one):
        return math.nan
    values = np.union1d(one, other)
    expected = sum(float((one == value).mean() * (other == value).mean()) for value in values)
    return _beyond(float((one == other).mean()), expected)


def fleiss(counts: np.ndarray) -> float:
    """Fleiss' kappa (Psychol. Bull. 1971; 76:378).

    Args:
        counts: [cases, labels], how many raters gave a case a label; as many raters, two at least, for each case.
    """
    if not len(counts):
        return math.nan
    raters = counts.sum(1)
    assert (raters == raters[0]).all() and raters[0] > 1, "as many raters for each case"
    agreed = (counts * (counts - 1)).sum(1) / (raters * (raters - 1))
    shares = counts.sum(0) / counts.sum()
    return _beyond(float(agreed.mean()), float((shares**2).sum()))


def _beyond(found: float, expected: float) -> float:
    return (found - expected) / (1 - expected) if expected < 1 else math.nan
