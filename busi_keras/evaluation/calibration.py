"""Probabilities that mean what they say, and the thresholds at which one acts on them."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import roc_curve

BINS = 15
SCREENING_SENSITIVITY = 0.95
HOTTEST = 5.0
NOVELTY_DEVIATIONS = 3.0
"""Standard deviations of the logarithm of the distance."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes labels most likely (Guo et al., "On calibration of modern networks", ICML 2017).

    Args:
        logits: `(n, classes)`, of images that did not train.
        labels: int `(n,)`.

    Returns:
        Above 1 where the network is too sure, below where it is not sure enough; within 1/5 and 5: few images
        would drive it further.
    """

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=-1)
        return -float(np.mean(scaled[np.arange(len(labels)), labels]))

    bound = np.log(HOTTEST)
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


@dataclass(frozen=True)
class ReliabilityBin:
    """Images of like confidence: their mean confidence, the share that is right, and how many they are."""

    confidence: float
    accuracy: float
    count: int


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[ReliabilityBin]:
    """The reliability diagram: bins of equal mass, by the probability of the predicted class.

    Args:
        probabilities: `(n, classes)`, rows sum to 1.
        labels: int `(n,)`.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    return [
        ReliabilityBin(float(confidence[part].mean()), float(right[part].mean()), len(part))
        for part in np.array_split(order, min(bins, len(order)))
    ]


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float | None:
    """The mean distance of confidence and accuracy, in [0, 1], over bins of equal mass (Nguyen and O'Connor, 2015).

    None where all images are of one class: there even calibrated probabilities need not match.
    """
    if not np.ptp(labels):
        return None
    confidence = probabilities.max(axis=1)
    surplus = confidence - (probabilities.argmax(axis=1) == labels)
    order = np.argsort(confidence, kind="stable")
    starts = [part[0] for part in np.array_split(np.arange(len(order)), min(bins, len(order)))]
    return float(np.abs(np.add.reduceat(surplus[order], starts)).sum() / len(labels))


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean squared distance of probabilities and truth, summed over classes, in [0, 2] (Brier, 1950)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(np.mean(np.sum((probabilities - truth) ** 2, axis=1)))


@dataclass(frozen=True)
class Thresholds:
    """From which probability of malignant on an image counts as suspicious.

    Attributes:
        screening: the highest threshold that finds at least `SCREENING_SENSITIVITY` of the malignant images.
        balanced: where sensitivity + specificity is largest (Youden, 1950).
    """

    screening: float
    balanced: float


def fit_thresholds(probability: np.ndarray, malignant: np.ndarray) -> Thresholds:
    """Operating thresholds, chosen on images that did not train.

    Args:
        probability: `(n,)`, of malignant.
        malignant: bool `(n,)`, the truth, both values present.
    """
    false_alarms, sensitivity, threshold = roc_curve(malignant, probability, drop_intermediate=False)
    screening = int(np.argmax(sensitivity >= SCREENING_SENSITIVITY))
    balanced = int(np.argmax(sensitivity[1:] - false_alarms[1:])) + 1  # the first point calls nothing suspicious
    return Thresholds(float(threshold[max(1, screening)]), float(threshold[balanced]))


@dataclass(frozen=True)
class OperatingPoint:
    """What acting on a threshold did on some images; None where there was none of that kind.

    Attributes:
        sensitivity: share of the malignant images at or beyond the threshold.
        specificity: share of the others below it.
    """

    sensitivity: float | None
    specificity: float | None


def operating_point(probability: np.ndarray, malignant: np.ndarray, threshold: float) -> OperatingPoint:
    """Args: as in `fit_thresholds`, of images on which the threshold was not chosen; a class may be missing."""
    suspicious = probability >= threshold
    return OperatingPoint(
        float(suspicious[malignant].mean()) if malignant.any() else None,
        float((~suspicious)[~malignant].mean()) if not malignant.all() else None,
    )


def fit_novelty_threshold(novelty: np.ndarray) -> float:
    """From which distance on an image is not like the training images: `NOVELTY_DEVIATIONS` above the mean.

    Args:
        novelty: `(n,)`, above 0, of images that did not train; its logarithm is close to normal.
    """
    logarithm = np.log(np.maximum(novelty, np.finfo(np.float32).tiny))
    return float(np.exp(logarithm.mean() + NOVELTY_DEVIATIONS * logarithm.std()))
