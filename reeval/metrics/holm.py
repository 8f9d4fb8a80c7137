"""Holm's step-down adjustment of p values, for a family of tests (Scand. J. Stat. 1979; 6:65).

Of m tests, the k-th smallest p is multiplied by m - k + 1, and none comes out below one that was smaller. Whoever
rejects where the adjusted p is at most a has a chance of at most a of rejecting any true hypothesis of the family,
however the tests depend on one another.
"""

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """The adjusted p values, float [M], of the p values of one family, in their order."""
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted
