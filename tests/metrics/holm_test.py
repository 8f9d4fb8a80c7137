import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from reeval.metrics.holm import holm


def test_by_hand():
    # Times 4, 3, 2, 1 in rising order; 0.04 x 1 is raised to the 0.06 before it.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])).tolist() == [1, 1] and holm(np.array([0.2])) == [0.2]
    assert holm(np.array([])).size == 0


@pytest.mark.parametrize("tests", [1, 2, 30])
def test_as_statsmodels(tests):
    p = np.random.default_rng(tests).random(tests).round(2) ** 3  # with ties
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
