"""Example masks with predicted labels, in a grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from busi_keras.card import RESEARCH_USE
from busi_keras.files import replacing
from busi_keras.report.panels import PREDICTED_COLOUR, TRUE_COLOUR, draw_contour

COLUMNS = 4
CELL_INCHES = 3.2
DPI = 110


@dataclass(frozen=True)
class Example:
    """One cell: image uint8 `(height, width, 3)`, both masks bool `(height, width)`, and what to write above."""

    image: np.ndarray
    true_mask: np.ndarray
    predicted_mask: np.ndarray
    true_label: str
    predicted_label: str
    dice: float


def draw_mask_grid(examples: Sequence[Example], path: Path) -> None:
    """Writes a PNG of the examples with the contours of the true and the predicted mask."""
    rows = -(-len(examples) // COLUMNS)
    figure = Figure((CELL_INCHES * COLUMNS, CELL_INCHES * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis, example in zip(axes, examples, strict=False):
        axis.imshow(example.image)
        draw_contour(axis, example.true_mask, TRUE_COLOUR, "true")
        draw_contour(axis, example.predicted_mask, PREDICTED_COLOUR, "predicted")
        axis.set_title(f"{example.true_label} -> {example.predicted_label}, Dice {example.dice:.2f}", fontsize=10)
    for axis in axes:
        axis.set_axis_off()
    figure.suptitle(f"true class -> predicted class; white: true mask, orange: predicted mask. {RESEARCH_USE}")
    with replacing(path) as part:
        figure.savefig(part, dpi=DPI)
