"""Scores of predicted masks and classes. Conventions are stated where they change the number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support

from busi_keras.config import CLASSES, MALIGNANT, NORMAL
from busi_keras.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from busi_keras.evaluation.detection import Detection
from busi_keras.evaluation.faithfulness import Localization
from busi_keras.evaluation.surface import SurfaceDistance

PROBABILITY_SCORES = (
    "brier",
    "calibration_error",
    "malignant_average_precision",
    "malignant_sensitivity_at_90_specificity",
    "malignant_specificity_at_90_sensitivity",
)


@dataclass(frozen=True)
class Overlap:
    """How well a predicted mask covers the true one; both are 1 where both masks are empty."""

    dice: float
    iou: float


@dataclass(frozen=True)
class ImageScore:
    """One image's truth, prediction and scores: a line of `predictions.csv`.

    Attributes:
        name: as in `Record`.
        label, predicted: indices into `CLASSES`; `predicted` is None where the network has no label head.
        probabilities: `(3,)` in [0, 1], sum 1; empty without a label head.
        overlap: None where the network has no mask head.
        true_area, predicted_area: of the masks, as shares of the image.
        surface: None where one of the masks is empty, or there is no mask head.
        detection: None where there is no mask head.
        pixel_sensitivity, pixel_precision: shares of the lesion's pixels that are found, and of found pixels that are
            the lesion's; None where there are no such pixels.
        novelty: how unlike the training images; None where it was not measured.
        novel: whether that is above the network's threshold: a false alarm on an image of the same data set.
        heat_map: Grad-CAM of the predicted class against the lesion; None where one of the two is missing.
    """

    name: str
    label: int
    predicted: int | None
    probabilities: tuple[float, ...]
    overlap: Overlap | None
    true_area: float
    predicted_area: float
    surface: SurfaceDistance | None = None
    detection: Detection | None = None
    pixel_sensitivity: float | None = None
    pixel_precision: float | None = None
    novelty: float | None = None
    novel: bool | None = None
    heat_map: Localization | None = None


def overlap(true: np.ndarray, predicted: np.ndarray) -> Overlap:
    """Dice and intersection over union of two bool masks of one shape."""
    if true.shape != predicted.shape:
        raise ValueError(f"masks of shapes {true.shape} and {predicted.shape} cannot be compared")
    common = int(np.count_nonzero(true & predicted))
    total = int(np.count_nonzero(true)) + int(np.count_nonzero(predicted))
    if total == 0:
        return Overlap(1.0, 1.0)
    return Overlap(2 * common / total, common / (total - common))


@dataclass(frozen=True)
class ClassScore:
    """One class against the rest. A score that is not defined is None."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    auc: float | None


@dataclass(frozen=True)
class Metrics:
    """Scores of a set of images; None where a score is not defined: no such image, or no such head.

    Attributes:
        dice, iou: means over all images, an empty prediction on an empty mask counting 1.
        lesion_dice, lesion_iou: means over the images that show a lesion.
        normal_clean: share of normal images whose predicted mask is empty.
        accuracy: share of images with the right class.
        macro_precision, macro_recall, macro_f1: means over the classes that have images; the precision is not defined
            where one of them is never predicted.
        weighted_precision, weighted_recall, weighted_f1: the same, each class by its share of the images.
        auc: one class against the rest.
        brier: mean squared distance of probabilities and truth, in [0, 2].
        calibration_error: distance of confidence and accuracy over 15 bins of equal mass, in [0, 1].
        malignant_average_precision, malignant_sensitivity_at_90_specificity, malignant_specificity_at_90_sensitivity:
            of the probability of malignant, against the rest.
        hd95_px, surface_distance_px: means over the `n_surface` images where both masks have a lesion, in pixels.
        hd95_percent, surface_distance_percent: the same in percent of each image's diagonal.
        pixel_sensitivity, pixel_precision: means over the images where they are defined.
        lesions_found: share of all lesions, matched one to one at IoU > 0.3.
        false_finds: predicted components without a lesion, mean over images.
        novel: share of images that are said to be unlike the training images.
        heat_map_energy, heat_map_pointing, heat_map_iou, heat_map_chance: means over the images with a lesion and a
            heat map; as in `Localization`.
        classes: by name, the scores of each class.
        confusion: rows are true classes, columns predicted ones, in the order of `CLASSES`.
        n: images of each class.
    """

    dice: float | None
    iou: float | None
    lesion_dice: float | None
    lesion_iou: float | None
    normal_clean: float | None
    accuracy: float | None
    macro_precision: float | None
    macro_recall: float | None
    macro_f1: float | None
    weighted_precision: float | None
    weighted_recall: float | None
    weighted_f1: float | None
    auc: dict[str, float | None]
    brier: float | None
    calibration_error: float | None
    malignant_average_precision: float | None
    malignant_sensitivity_at_90_specificity: float | None
    malignant_specificity_at_90_sensitivity: float | None
    hd95_px: float | None
    hd95_percent: float | None
    surface_distance_px: float | None
    surface_distance_percent: float | None
    n_surface: int
    pixel_sensitivity: float | None
    pixel_precision: float | None
    lesions_found: float | None
    false_finds: float | None
    novel: float | None
    heat_map_energy: float | None
    heat_map_pointing: float | None
    heat_map_iou: float | None
    heat_map_chance: float | None
    classes: dict[str, ClassScore]
    confusion: list[list[int]] | None
    n: dict[str, int]


def summarize(scores: Sequence[ImageScore]) -> Metrics:
    """The metrics of a set of images.

    Raises:
        ValueError: the set is empty.
    """
    if not scores:
        raise ValueError("no image to score")
    labels = np.array([score.label for score in scores])
    lesion = labels != NORMAL
    dice = np.array([s.overlap.dice if s.overlap else np.nan for s in scores])
    iou = np.array([s.overlap.iou if s.overlap else np.nan for s in scores])
    clean = np.array([s.predicted_area == 0 if s.overlap else np.nan for s in scores], float)
    classes = _class_scores(scores, labels)
    predicted = None if scores[0].predicted is None else np.array([score.predicted for score in scores])
    return Metrics(
        dice=_mean(dice),
        iou=_mean(iou),
        lesion_dice=_mean(dice[lesion]),
        lesion_iou=_mean(iou[lesion]),
        normal_clean=_mean(clean[~lesion]),
        accuracy=None if predicted is None else float(np.mean(predicted == labels)),
        **_class_means(classes),
        auc={name: score.auc for name, score in classes.items()},
        **_probability_scores(scores, labels),
        **_outline_scores(scores),
        novel=_mean(np.array([score.novel for score in scores if score.novel is not None], float)),
        **_heat_map_scores(scores),
        classes=classes,
        confusion=None
        if predicted is None
        else confusion_matrix(labels, predicted, labels=range(len(CLASSES))).tolist(),
        n={name: int(np.sum(labels == index)) for index, name in enumerate(CLASSES)},
    )


def _probability_scores(scores: Sequence[ImageScore], labels: np.ndarray) -> dict[str, Any]:
    if scores[0].predicted is None:
        return dict.fromkeys(PROBABILITY_SCORES)
    probabilities = np.array([score.probabilities for score in scores])
    suspicion, malignant = probabilities[:, MALIGNANT], labels == MALIGNANT
    values = (
        brier_score(probabilities, labels),
        expected_calibration_error(probabilities, labels),
        float(average_precision_score(malignant, suspicion)) if malignant.any() else None,
        sensitivity_at_specificity(suspicion, malignant, 0.9),
        specificity_at_sensitivity(suspicion, malignant, 0.9),
    )
    return dict(zip(PROBABILITY_SCORES, values, strict=True))


def _outline_scores(scores: Sequence[ImageScore]) -> dict[str, Any]:
    surfaces = [score.surface for score in scores if score.surface]
    detections = [score.detection for score in scores if score.detection]
    lesions = sum(one.lesions for one in detections)
    return {
        "hd95_px": _mean(np.array([one.hd95_px for one in surfaces])),
        "hd95_percent": _mean(np.array([100 * one.hd95_px / one.diagonal_px for one in surfaces])),
        "surface_distance_px": _mean(np.array([one.average_px for one in surfaces])),
        "surface_distance_percent": _mean(np.array([100 * one.average_px / one.diagonal_px for one in surfaces])),
        "n_surface": len(surfaces),
        "pixel_sensitivity": _mean(np.array([v for s in scores if (v := s.pixel_sensitivity) is not None])),
        "pixel_precision": _mean(np.array([v for s in scores if (v := s.pixel_precision) is not None])),
        "lesions_found": sum(one.found for one in detections) / lesions if lesions else None,
        "false_finds": _mean(np.array([one.false_finds for one in detections], float)),
    }


def _heat_map_scores(scores: Sequence[ImageScore]) -> dict[str, Any]:
    maps = [score.heat_map for score in scores if score.heat_map]
    return {
        "heat_map_energy": _mean(np.array([one.energy_inside for one in maps])),
        "heat_map_pointing": _mean(np.array([one.pointing_game for one in maps], float)),
        "heat_map_iou": _mean(np.array([one.iou for one in maps])),
        "heat_map_chance": _mean(np.array([one.chance for one in maps])),
    }


def _class_scores(scores: Sequence[ImageScore], labels: np.ndarray) -> dict[str, ClassScore]:
    support = [int(np.sum(labels == index)) for index in range(len(CLASSES))]
    if scores[0].predicted is None:
        return {name: ClassScore(None, None, None, support[i], None) for i, name in enumerate(CLASSES)}
    predicted = np.array([score.predicted for score in scores])
    probabilities = np.array([score.probabilities for score in scores])
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=range(len(CLASSES)), zero_division=np.nan
    )
    return {
        name: ClassScore(
            precision=_defined(precision[i]),
            recall=_defined(recall[i]),
            f1=_defined(f1[i]) if support[i] else None,
            support=support[i],
            auc=_auc(labels == i, probabilities[:, i]),
        )
        for i, name in enumerate(CLASSES)
    }


def _class_means(classes: dict[str, ClassScore]) -> dict[str, Any]:
    present = [score for score in classes.values() if score.support]
    means = {}
    for name in ("precision", "recall", "f1"):
        values = np.array([getattr(score, name) for score in present], float)
        means[f"macro_{name}"] = _mean(values)
        means[f"weighted_{name}"] = _mean(np.repeat(values, [score.support for score in present]))
    return means


def _auc(truth: np.ndarray, score: np.ndarray) -> float | None:
    """The share of pairs, one image of the class and one of the rest, in the right order; ties count half.

    From ranks (Hanley and McNeil, Radiology 143, 1982): a bootstrap computes it thousands of times.
    """
    if truth.all() or not truth.any():
        return None
    positives, negatives = int(truth.sum()), int((~truth).sum())
    above = rankdata(score)[truth].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) and not np.isnan(values).any() else None
