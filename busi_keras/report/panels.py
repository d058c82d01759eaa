"""The five panels: input, true mask, predicted mask, Grad-CAM, overlay."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.inference.predictor import Prediction

COLOUR_MAP = "viridis"
TRUE_COLOUR, PREDICTED_COLOUR = "#ffffff", "#e66100"
PANEL_INCHES = 3.4
DPI = 150


@dataclass(frozen=True)
class PanelData:
    """What the panels show.

    Attributes:
        image: uint8 `(height, width, 3)`.
        prediction: of that image.
        heat_map: float32 `(height, width)` in [0, 1], at the image's own size; None where it is flat.
        target: the class that the heat map explains.
        true_mask: bool `(height, width)`; None where it is not known.
    """

    image: np.ndarray
    prediction: Prediction
    heat_map: np.ndarray | None
    target: str
    true_mask: np.ndarray | None = None


def draw_panels(data: PanelData, path: Path) -> None:
    """Writes the panels in one row, five with a true mask and four without, as PNG, SVG or PDF by `path`'s suffix."""
    count = 5 if data.true_mask is not None else 4
    height, width = data.image.shape[:2]
    figure = Figure(
        (PANEL_INCHES * count + 0.6, PANEL_INCHES * min(max(height / width, 0.5), 1.6) + 1.1), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = iter(figure.subplots(1, count))
    _show(next(axes), "input", data.image)
    if data.true_mask is not None:
        _show(next(axes), "true mask", data.true_mask)
    _show(next(axes), "predicted mask", data.prediction.mask)

    axis = next(axes)
    if data.heat_map is None:
        _show(axis, f"Grad-CAM for {data.target}: flat", data.image)
        axis.text(
            0.5,
            0.5,
            "nothing in the image\nspeaks for this class",
            transform=axis.transAxes,
            ha="center",
            color="white",
            bbox={"facecolor": "black", "alpha": 0.7},
        )
    else:
        _show(axis, f"Grad-CAM for {data.target}", data.image)
        drawn = axis.imshow(data.heat_map, cmap=COLOUR_MAP, vmin=0, vmax=1, alpha=0.55)
        figure.colorbar(drawn, ax=axis, shrink=0.7, label="share of the largest value")

    axis = next(axes)
    probability = max(data.prediction.probabilities)
    _show(axis, f"{data.prediction.label}, {probability:.0%}", data.image)
    draw_contour(axis, data.prediction.mask, PREDICTED_COLOUR, "predicted")
    if data.true_mask is not None:
        draw_contour(axis, data.true_mask, TRUE_COLOUR, "true")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="lower right", fontsize=8, facecolor="black", labelcolor="white", framealpha=0.6)

    probabilities = ", ".join(f"{n} {p:.2f}" for n, p in zip(CLASSES, data.prediction.probabilities, strict=True))
    figure.suptitle(". ".join([probabilities, *data.prediction.warnings, RESEARCH_USE]), fontsize=9, wrap=True)
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, dpi=DPI)


def _show(axis: Axes, title: str, pixels: np.ndarray) -> None:
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=11)
    axis.set_axis_off()


def draw_contour(axis: Axes, mask: np.ndarray, colour: str, name: str) -> None:
    """A bool mask's outline, with an entry for the legend; nothing where the mask is empty or full."""
    if mask.any() and not mask.all():
        axis.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.5)
        axis.plot([], [], color=colour, label=name)
