import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from busi_keras.evaluation.ranking import Ranking

images = st.lists(st.tuples(st.integers(0, 8).map(lambda value: value / 8), st.booleans()), max_size=30)
"""Probabilities with many ties, and whether an image is of the class."""


def test_one_rate_at_a_given_other() -> None:
    probability = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    positive = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1], bool)
    ranking = Ranking.of(probability, positive)
    assert ranking.sensitivity_at(0.9) == pytest.approx(4 / 5)
    assert ranking.specificity_at(0.9) == pytest.approx(4 / 5)


def test_a_rate_that_is_just_reached_counts() -> None:
    probability = np.linspace(0, 1, 11)
    positive = np.arange(11) == 9  # one of the ten others lies above it
    assert Ranking.of(probability, positive).sensitivity_at(0.9) == 1
    assert Ranking.of(1 - probability, ~positive).specificity_at(0.9) == 1


def test_nothing_to_compare_with_is_no_score() -> None:
    ranking = Ranking.of(np.linspace(0, 1, 10), np.ones(10, bool))
    assert (ranking.auc, ranking.sensitivity_at(0.9), ranking.specificity_at(0.9)) == (None, None, None)
    assert ranking.average_precision is None
    assert Ranking.of(np.linspace(0, 1, 10), np.zeros(10, bool)).average_precision is None


@settings(max_examples=100, deadline=None)
@given(images)
def test_its_scores_are_scikit_learns(drawn: list[tuple[float, bool]]) -> None:
    probability, positive = map(np.array, zip(*drawn, (0.5, True), (0.5, False), strict=True))
    ranking = Ranking.of(probability, positive)
    assert ranking.auc == pytest.approx(roc_auc_score(positive, probability))
    assert ranking.average_precision == pytest.approx(average_precision_score(positive, probability))
    false_alarms, sensitivity, _ = roc_curve(positive, probability, drop_intermediate=False)
    for rate in (0.25, 0.5, 0.9):
        assert ranking.sensitivity_at(rate) == pytest.approx(sensitivity[1 - false_alarms >= rate - 1e-12].max())
        assert ranking.specificity_at(rate) == pytest.approx(1 - false_alarms[sensitivity >= rate - 1e-12].min())
