import numpy as np
import pytest
from scipy.special import softmax

from busi_keras.evaluation.calibration import (
    OperatingPoint,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    fit_thresholds,
    operating_point,
    reliability,
)


def sure(n: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is right, times a factor, and labels drawn from that softmax."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.5, (n, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)])
    return factor * logits, labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_too_much_and_too_little_sureness(factor: float) -> None:
    logits, labels = sure(4000, factor)
    assert fit_temperature(logits, labels) == pytest.approx(factor, rel=0.06)


def test_scaling_by_the_temperature_calibrates() -> None:
    logits, labels = sure(4000, 4.0)
    before = softmax(logits, axis=1)
    after = softmax(logits / fit_temperature(logits, labels), axis=1)
    assert expected_calibration_error(before, labels) > 0.2
    assert expected_calibration_error(after, labels) < 0.03
    assert brier_score(after, labels) < brier_score(before, labels)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()


def test_the_calibration_error_of_one_bin_is_confidence_less_accuracy() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0]] * 10)
    labels = np.array([0] * 6 + [1] * 4)
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(0.3)
    assert brier_score(probabilities, labels) == pytest.approx(0.6 * 0.02 + 0.4 * (0.81 + 0.81))


def test_bins_have_equal_mass_and_hold_every_image() -> None:
    logits, labels = sure(100, 1.0)
    bins = reliability(softmax(logits, axis=1), labels, bins=15)
    assert sum(one.count for one in bins) == 100
    assert {one.count for one in bins} == {6, 7}
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)


def test_thresholds_do_what_they_promise_on_the_images_that_chose_them() -> None:
    rng = np.random.default_rng(4)
    malignant = rng.random(500) < 0.3
    probability = np.clip(rng.normal(np.where(malignant, 0.7, 0.3), 0.2), 0, 1)
    chosen = fit_thresholds(probability, malignant)
    found = probability >= chosen.screening
    assert found[malignant].mean() >= 0.95
    higher = np.min(probability[probability > chosen.screening])
    assert (probability >= higher)[malignant].mean() < 0.95

    def youden(threshold: float) -> float:
        return (probability >= threshold)[malignant].mean() + (probability < threshold)[~malignant].mean()

    assert youden(chosen.balanced) == pytest.approx(max(map(youden, probability)))
    assert chosen.screening < chosen.balanced


def test_an_operating_point_is_what_a_threshold_does_on_other_images() -> None:
    probability = np.array([0.9, 0.5, 0.2, 0.5, 0.1, 0.0])
    malignant = np.array([True, True, True, False, False, False])
    assert operating_point(probability, malignant, 0.5) == OperatingPoint(2 / 3, 2 / 3)  # the threshold itself counts
    assert operating_point(probability[:3], malignant[:3], 0.5) == OperatingPoint(2 / 3, None)
    assert operating_point(probability[3:], malignant[3:], 0.5) == OperatingPoint(None, 2 / 3)
