"""Plots of numbers: training curves, confusion matrix, ROC curves, reliability; in Okabe and Ito's colours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from busi_keras.config import CLASSES
from busi_keras.evaluation.calibration import BINS, expected_calibration_error, reliability
from busi_keras.evaluation.faithfulness import Perturbation
from busi_keras.evaluation.history import chosen_and_last
from busi_keras.evaluation.scores import ImageScore, Metrics
from busi_keras.files import replacing

TRAINING, VALIDATION = "#0072b2", "#d55e00"
CLASS_COLOURS = ("#0072b2", "#d55e00", "#009e73")
CLASS_STYLES = ("-", "--", ":")
DPI = 120
LEAST_IN_BIN = 10

CURVES = {
    "loss": ("loss", "loss"),
    "dice": ("Dice", "mean over images"),
    "accuracy": ("accuracy", "share of images"),
}


def plot_history(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss, Dice and accuracy of training and validation over epochs; a row of plots for each stage."""
    stages = chosen_and_last(rows)
    figure = _figure(13, 3.8 * len(stages))
    for axes, stage in zip(figure.subplots(len(stages), len(CURVES), squeeze=False), stages, strict=True):
        of_stage = [row for row in rows if row["stage"] == stage]
        best = stages[stage]["chosen"]["epoch"] + 1
        for axis, (name, (title, unit)) in zip(axes, CURVES.items(), strict=True):
            if name not in of_stage[0]:
                axis.set_axis_off()
                continue
            _curves(axis, of_stage, name, best)
            axis.set(title=f"{stage}: {title}", xlabel="epoch", ylabel=unit)
    _save(figure, path)


def plot_confusion(metrics: Metrics, path: Path) -> None:
    """Counts and shares of each true class."""
    assert metrics.confusion is not None, "a network without a label head has no confusion matrix"
    counts = np.array(metrics.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(6, 5)
    axis = figure.subplots()
    drawn = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(CLASSES)):
        for column in range(len(CLASSES)):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=12)
    axis.set_xticks(range(len(CLASSES)), CLASSES)
    axis.set_yticks(range(len(CLASSES)), CLASSES)
    axis.set(xlabel="predicted class", ylabel="true class", title=f"{counts.sum()} images")
    figure.colorbar(drawn, ax=axis, label="share of the true class")
    _save(figure, path)


def plot_roc(scores: Sequence[ImageScore], metrics: Metrics, path: Path) -> None:
    """Each class against the rest, with its area under the curve."""
    labels = np.array([score.label for score in scores])
    probabilities = np.array([score.probabilities for score in scores])
    figure = _figure(5.5, 5.8)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for index, name in enumerate(CLASSES):
        auc = metrics.auc[name]
        if auc is None:
            continue
        false_positive, true_positive, _ = roc_curve(labels == index, probabilities[:, index])
        axis.plot(
            false_positive,
            true_positive,
            CLASS_STYLES[index],
            color=CLASS_COLOURS[index],
            label=f"{name} against the rest, AUC {auc:.3f}",
        )
    axis.set(xlabel="1 - specificity", ylabel="sensitivity", title=f"{len(scores)} images", aspect="equal")
    figure.legend(loc="outside lower center")  # beside the curves, which may be anywhere
    _save(figure, path)


def plot_reliability(scores: Sequence[ImageScore], path: Path) -> None:
    """Confidence against accuracy, a point a bin of equal mass: on the diagonal probabilities are what they say.

    Of few images there are fewer bins than the calibration error has, so that a point is not of one or two.
    """
    probabilities = np.array([score.probabilities for score in scores])
    labels = np.array([score.label for score in scores])
    bins = reliability(probabilities, labels, max(1, min(BINS, len(labels) // LEAST_IN_BIN)))
    error = expected_calibration_error(probabilities, labels)
    of_bins = "" if len(bins) == BINS else f" ({BINS} bins)"
    of_all = "of one class" if error is None else f"expected calibration error {error:.3f}{of_bins}"
    sizes = " or ".join(map(str, sorted({one.count for one in bins})))
    figure = _figure(5.5, 5)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="perfect calibration")
    axis.plot(
        [one.confidence for one in bins],
        [one.accuracy for one in bins],
        "o-",
        color=TRAINING,
        label=f"{len(bins)} bins of {sizes} images",
    )
    axis.set(
        xlabel="mean probability of the predicted class",
        ylabel="share of images with the right class",
        title=f"{len(scores)} images, {of_all}",
        xlim=(1 / len(CLASSES), 1.02),
        ylim=(0, 1.02),
    )
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    _save(figure, path)


def plot_perturbation(curves: Mapping[str, Perturbation], path: Path) -> None:
    """Deletion and insertion, the mean of each class's images."""
    figure = _figure(10, 4.2)
    kinds = {"deletion": "pixels blurred, hottest first", "insertion": "pixels brought back, hottest first"}
    for axis, (kind, what) in zip(figure.subplots(1, 2, sharey=True), kinds.items(), strict=True):
        for name, found in curves.items():
            curve, index = getattr(found, f"{kind}_curve"), CLASSES.index(name)
            axis.plot(
                np.linspace(0, 1, len(curve)),
                curve,
                CLASS_STYLES[index],
                color=CLASS_COLOURS[index],
                label=f"{name}, area {getattr(found, kind):.3f}",
            )
        axis.set(title=kind, xlabel=f"share of {what}", ylim=(0, 1), xlim=(0, 1))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.axes[0].set_ylabel("probability of the explained class")
    _save(figure, path)


def _curves(axis: Axes, rows: Sequence[dict[str, Any]], name: str, best: int) -> None:
    epochs = [row["epoch"] + 1 for row in rows]
    marker = "o" if len(rows) < 4 else None
    axis.plot(epochs, [row[name] for row in rows], "-", color=TRAINING, marker=marker, label="training")
    axis.plot(epochs, [row[f"val_{name}"] for row in rows], "--", color=VALIDATION, marker=marker, label="validation")
    axis.axvline(best, color="0.5", linewidth=1, linestyle=":", label="chosen epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if name != "loss":
        axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
    axis.legend()


def _figure(width: float, height: float) -> Figure:
    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, dpi=DPI)
