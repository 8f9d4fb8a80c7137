"""D and R by the length of the report: quarters of the pairs by the number of words of the reference."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from reeval.evaluate.summary import rated
from reeval.metrics import dr
from reeval.metrics.rates import rate
from reeval.pairs import Pair

QUARTERS = 4


def by_length(pairs: Sequence[Pair], judged: np.ndarray, confidence: float) -> list[dict[str, Any]]:
    """A row a quarter, from short to long: fewest and most words, and D and R.

    All pairs of a reference, and references of one length, are in one quarter, so that quarters differ in size and
    may be fewer than four.
    """
    gold = np.array([pair.significant for pair in pairs], bool)
    words = np.array([len(pair.reference.split()) for pair in pairs])
    quarter = np.searchsorted(np.quantile(words, np.arange(1, QUARTERS) / QUARTERS), words, side="left")
    right = dr.correct(gold, judged)
    return [
        {
            "words_least": int(words[mine].min()),
            "words_most": int(words[mine].max()),
            "D": rated(rate(right, mine & gold), confidence),
            "R": rated(rate(right, mine & ~gold), confidence),
        }
        for one in np.unique(quarter)
        for mine in [quarter == one]
    ]
