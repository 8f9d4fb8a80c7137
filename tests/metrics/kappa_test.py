import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from reeval.metrics.kappa import cohen, fleiss

# Fourteen raters, ten cases, five labels: the worked example of Fleiss' kappa in Wikipedia, 0.210.
EXAMPLE = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
     [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip


def test_fleiss_published_and_as_statsmodels():
    assert fleiss(EXAMPLE) == pytest.approx(0.210, abs=5e-4)
    assert fleiss(EXAMPLE) == pytest.approx(inter_rater.fleiss_kappa(EXAMPLE))


def test_cohen_published_and_as_others():
    # Two readers of 50 proposals, both yes 20, both no 15, 5 and 10 apart: 0.4.
    one = np.array([1] * 25 + [0] * 25)
    other = np.array([1] * 20 + [0] * 5 + [1] * 10 + [0] * 15)
    assert cohen(one, other) == pytest.approx(0.4)
    assert cohen(one, other) == pytest.approx(cohen_kappa_score(one, other))
    table = inter_rater.to_table(np.stack([one, other], axis=-1))[0]
    assert cohen(one, other) == pytest.approx(inter_rater.cohens_kappa(table, return_results=False))


def test_where_chance_says_it_all_nothing_is_known():
    same = np.ones(4)
    assert math.isnan(cohen(same, same)) and math.isnan(fleiss(np.array([[3, 0], [3, 0]])))
    assert math.isnan(cohen(same[:0], same[:0])) and math.isnan(fleiss(np.zeros((0, 2))))
    assert cohen(np.array([0, 1]), np.array([0, 1])) == 1 and cohen(np.array([0, 1]), np.array([1, 0])) == -1
