"""Scores of predicted masks and classes. Conventions are stated where they change the number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from busi_keras.config import CLASSES, MALIGNANT, NORMAL
from busi_keras.evaluation.calibration import brier_score, expected_calibration_error
from busi_keras.evaluation.detection import Detection
from busi_keras.evaluation.faithfulness import Localization
from busi_keras.evaluation.ranking import Ranking
from busi_keras.evaluation.surface import SurfaceDistance

MEANS = (
    "dice",
    "iou",
    "lesion_dice",
    "lesion_iou",
    "normal_clean",
    "accuracy",
    "hd95_px",
    "hd95_percent",
    "surface_distance_px",
    "surface_distance_percent",
    "pixel_sensitivity",
    "pixel_precision",
    "false_finds",
    "novel",
    "heat_map_energy",
    "heat_map_pointing",
    "heat_map_iou",
    "heat_map_chance",
)
COLUMNS = (*MEANS, "found", "lesions")
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
    """One class against the rest. A score that is not defined is None: precision, specificity, F1 and AUC need images
    of the rest, recall (which is sensitivity), F1 and AUC images of the class."""

    precision: float | None
    recall: float | None
    specificity: float | None
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
            where one of them is never predicted, precision and F1 where there is but one.
        weighted_precision, weighted_recall, weighted_f1: the same, each class by its share of the images.
        auc: one class against the rest.
        brier: mean squared distance of probabilities and truth, in [0, 2].
        calibration_error: distance of confidence and accuracy over 15 bins of equal mass, in [0, 1]; not defined where
            all images are of one class.
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
    return ScoreTable.of(scores).metrics()


@dataclass(frozen=True)
class ScoreTable:
    """Scores of images as columns, to be summarized of one choice of images after another.

    Attributes:
        labels: int `(n,)`.
        predicted, probabilities: int `(n,)` and `(n, 3)`; None where the network has no label head.
        values: `(columns, n)`, in the order of `COLUMNS`; NaN where an image has no such score.
    """

    labels: np.ndarray
    predicted: np.ndarray | None
    probabilities: np.ndarray | None
    values: np.ndarray

    @classmethod
    def of(cls, scores: Sequence[ImageScore]) -> "ScoreTable":
        """The table of at least one image."""
        classified = scores[0].predicted is not None
        return cls(
            labels=np.array([score.label for score in scores]),
            predicted=np.array([score.predicted for score in scores]) if classified else None,
            probabilities=np.array([score.probabilities for score in scores]) if classified else None,
            values=np.ascontiguousarray(np.array([_values(score) for score in scores], float).T),
        )

    def take(self, chosen: np.ndarray) -> "ScoreTable":
        """Some of the images, by index, which may repeat."""
        return ScoreTable(
            self.labels[chosen],
            None if self.predicted is None else self.predicted[chosen],
            None if self.probabilities is None else self.probabilities[chosen],
            self.values.take(chosen, axis=1),
        )

    def paired(self, other: "ScoreTable") -> tuple["ScoreTable", "ScoreTable"]:
        """This table and one of the same images, each without the values that the other lacks.

        A mean over the images that have a score is else of other images: HD95 of whoever misses the hard lesions.
        """
        lacking = np.isnan(self.values) | np.isnan(other.values)
        one, two = (replace(table, values=np.where(lacking, np.nan, table.values)) for table in (self, other))
        return one, two

    def metrics(self) -> Metrics:
        """The metrics of all images of the table."""
        defined = ~np.isnan(self.values)
        sums = dict(zip(COLUMNS, np.where(defined, self.values, 0).sum(axis=1), strict=True))
        counts = dict(zip(COLUMNS, np.count_nonzero(defined, axis=1), strict=True))
        confusion = self._confusion()
        classes = self._class_scores(confusion)
        return Metrics(
            **{name: float(sums[name] / counts[name]) if counts[name] else None for name in MEANS},
            lesions_found=float(sums["found"] / sums["lesions"]) if sums["lesions"] else None,
            n_surface=int(counts["hd95_px"]),
            **_class_means(classes),
            auc={name: score.auc for name, score in classes.items()},
            **self._probability_scores(),
            classes=classes,
            confusion=None if confusion is None else confusion.tolist(),
            n={name: score.support for name, score in classes.items()},
        )

    def _confusion(self) -> np.ndarray | None:
        """Images by true and predicted class."""
        if self.predicted is None:
            return None
        cells = np.bincount(len(CLASSES) * self.labels + self.predicted, minlength=len(CLASSES) ** 2)
        return cells.reshape(len(CLASSES), len(CLASSES))

    def _class_scores(self, confusion: np.ndarray | None) -> dict[str, ClassScore]:
        support = np.bincount(self.labels, minlength=len(CLASSES))
        if confusion is None or self.probabilities is None:
            return {name: ClassScore(None, None, None, None, int(support[i]), None) for i, name in enumerate(CLASSES)}
        right, predicted = confusion.diagonal(), confusion.sum(axis=0)
        rest = support.sum() - support
        return {
            name: ClassScore(
                precision=float(right[i] / predicted[i]) if predicted[i] and rest[i] else None,
                recall=float(right[i] / support[i]) if support[i] else None,
                specificity=float(1 - (predicted[i] - right[i]) / rest[i]) if rest[i] else None,
                f1=float(2 * right[i] / (support[i] + predicted[i])) if support[i] and rest[i] else None,
                support=int(support[i]),
                auc=Ranking.of(self.probabilities[:, i], self.labels == i).auc,
            )
            for i, name in enumerate(CLASSES)
        }

    def _probability_scores(self) -> dict[str, float | None]:
        if self.probabilities is None:
            return dict.fromkeys(PROBABILITY_SCORES)
        malignant = Ranking.of(self.probabilities[:, MALIGNANT], self.labels == MALIGNANT)
        values = (
            brier_score(self.probabilities, self.labels),
            expected_calibration_error(self.probabilities, self.labels),
            malignant.average_precision,
            malignant.sensitivity_at(0.9),
            malignant.specificity_at(0.9),
        )
        return dict(zip(PROBABILITY_SCORES, values, strict=True))


def _values(score: ImageScore) -> list[float]:
    """What an image adds to each of `COLUMNS`; NaN where it has no part in it."""
    values = dict.fromkeys(COLUMNS, np.nan)
    if masks := score.overlap:
        values |= {"dice": masks.dice, "iou": masks.iou}
        if score.label == NORMAL:
            values["normal_clean"] = score.predicted_area == 0
        else:
            values |= {"lesion_dice": masks.dice, "lesion_iou": masks.iou}
    if score.predicted is not None:
        values["accuracy"] = score.predicted == score.label
    if surface := score.surface:
        percent = 100 / surface.diagonal_px
        values |= {"hd95_px": surface.hd95_px, "hd95_percent": percent * surface.hd95_px}
        values |= {"surface_distance_px": surface.average_px, "surface_distance_percent": percent * surface.average_px}
    if found := score.detection:
        values |= {"found": found.found, "lesions": found.lesions, "false_finds": found.false_finds}
    if heat_map := score.heat_map:
        values |= {"heat_map_energy": heat_map.energy_inside, "heat_map_pointing": heat_map.pointing_game}
        values |= {"heat_map_iou": heat_map.iou, "heat_map_chance": heat_map.chance}
    for name in ("pixel_sensitivity", "pixel_precision", "novel"):
        if (value := getattr(score, name)) is not None:
            values[name] = value
    return list(values.values())


def _class_means(classes: dict[str, ClassScore]) -> dict[str, float | None]:
    present = [score for score in classes.values() if score.support]
    means: dict[str, float | None] = {}
    for name in ("precision", "recall", "f1"):
        values = [getattr(score, name) for score in present]
        defined = None not in values
        means[f"macro_{name}"] = float(np.mean(values)) if defined else None
        support = [score.support for score in present]
        means[f"weighted_{name}"] = float(np.average(values, weights=support)) if defined else None
    return means
