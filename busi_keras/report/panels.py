"""The five panels: input, true mask, predicted mask, Grad-CAM, overlay."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.inference.predictor import Prediction

COLOUR_MAP = "viridis"
COLOUR_MAPS = ("viridis", "cividis", "magma", "jet")
TRUE_COLOUR, PREDICTED_COLOUR = "#ffffff", "#e66100"
PANEL_INCHES = 3.4
DPI = 150
SHEET_PANEL_INCHES, SHEET_DPI = 2.4, 160

DRAWING = threading.RLock()
"""Matplotlib's settings belong to the whole process: threads that draw hold this."""


@dataclass(frozen=True)
class PanelData:
    """What the panels show.

    Attributes:
        image: uint8 `(height, width, 3)`.
        prediction: of that image.
        heat_map: float32 `(height, width)` in [0, 1], at the image's own size; None where it is flat.
        target: what the heat map explains: a class, or the lesion.
        method: by which method, as a reader knows it.
        true_mask: bool `(height, width)`; None where it is not known.
        truth: what the true mask is called: `true`, or `corrected` where a reader drew it.
    """

    image: np.ndarray
    prediction: Prediction
    heat_map: np.ndarray | None
    target: str
    method: str = "Grad-CAM"
    true_mask: np.ndarray | None = None
    truth: str = "true"


def draw_panels(data: PanelData, path: Path, colour_map: str = COLOUR_MAP) -> None:
    """Writes the panels in one row, five with a true mask and four without, as PNG, SVG or PDF by `path`'s suffix.

    Args:
        colour_map: one of `COLOUR_MAPS`, for the heat map.
    """
    with mpl.rc_context({"svg.fonttype": "none"}):
        _panels(data, colour_map).savefig(path, dpi=DPI)


def render_panels(data: PanelData, colour_map: str = COLOUR_MAP) -> np.ndarray:
    """The picture that `draw_panels` writes, uint8 `(height, width, 3)`."""
    with DRAWING:
        figure = _panels(data, colour_map)
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _panels(data: PanelData, colour_map: str) -> Figure:
    count = 5 if data.true_mask is not None else 4
    height, width = data.image.shape[:2]
    figure = Figure(
        (PANEL_INCHES * count + 0.6, PANEL_INCHES * min(max(height / width, 0.5), 1.6) + 1.1), layout="constrained"
    )
    FigureCanvasAgg(figure)
    drawn = _draw_row(list(figure.subplots(1, count)), data, colour_map)
    if drawn is not None:
        figure.colorbar(drawn, ax=drawn.axes, shrink=0.7, label="fraction of the maximum")
    probabilities = ", ".join(f"{n} {p:.2f}" for n, p in zip(CLASSES, data.prediction.probabilities, strict=True))
    figure.suptitle(". ".join([probabilities, *data.prediction.warnings, RESEARCH_USE]), fontsize=9, wrap=True)
    return figure


def draw_contact_sheet(rows: Sequence[tuple[str, PanelData]], path: Path, colour_map: str = COLOUR_MAP) -> None:
    """Writes the panels of several images as one PNG, a row an image, its name at the left.

    Args:
        rows: a name and what to show; columns for true masks are there where any image has one.
        colour_map: one of `COLOUR_MAPS`, for the heat maps.
    """
    with_true = any(data.true_mask is not None for _, data in rows)
    count = 5 if with_true else 4
    figure = Figure(
        (SHEET_PANEL_INCHES * count + 0.4, SHEET_PANEL_INCHES * 0.9 * len(rows) + 0.6), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), count, squeeze=False)
    maps: list[AxesImage] = []
    for axes, (name, data) in zip(grid, rows, strict=True):
        shown = list(axes)
        if with_true and data.true_mask is None:
            shown.pop(1).set_axis_off()
        if (drawn := _draw_row(shown, data, colour_map)) is not None:
            maps.append(drawn)
        axes[0].text(-0.04, 0.5, name, transform=axes[0].transAxes, rotation=90, ha="right", va="center", fontsize=8)
    if maps:
        figure.colorbar(
            maps[0], ax=list(grid[:, -1]), shrink=min(1.0, 1.6 / len(rows)), label="fraction of the maximum"
        )
    figure.suptitle(". ".join([*_whose_warnings(rows), RESEARCH_USE]), fontsize=9, wrap=True)
    figure.savefig(path, dpi=SHEET_DPI)


def _whose_warnings(rows: Sequence[tuple[str, PanelData]]) -> list[str]:
    """Each warning once, with the names of the images it is about where these are not all."""
    warned: dict[str, list[str]] = {}
    for name, data in rows:
        for warning in data.prediction.warnings:
            warned.setdefault(warning, []).append(name)
    return [w if len(names) == len(rows) else f"{', '.join(names)}: {w}" for w, names in warned.items()]


def _draw_row(axes: list[Axes], data: PanelData, colour_map: str) -> AxesImage | None:
    """The panels of one image; gives back the heat map as it was drawn, None where it is flat."""
    row = iter(axes)
    _show(next(row), "input", data.image)
    if data.true_mask is not None:
        _show(next(row), f"{data.truth} mask", data.true_mask)
    _show(next(row), "predicted mask", data.prediction.mask)

    axis, drawn = next(row), None
    if data.heat_map is None:
        _show(axis, f"{data.method} for {data.target}: flat", data.image)
        axis.text(
            0.5,
            0.5,
            f"no region of the image\nsupports {data.target}",
            transform=axis.transAxes,
            ha="center",
            color="white",
            bbox={"facecolor": "black", "alpha": 0.7},
        )
    else:
        _show(axis, f"{data.method} for {data.target}", data.image)
        drawn = axis.imshow(data.heat_map, cmap=colour_map, vmin=0, vmax=1, alpha=0.55)

    axis = next(row)
    _show(axis, f"{data.prediction.label}, {max(data.prediction.probabilities):.0%}", data.image)
    draw_contour(axis, data.prediction.mask, PREDICTED_COLOUR, "predicted")
    if data.true_mask is not None:
        draw_contour(axis, data.true_mask, TRUE_COLOUR, data.truth)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="lower right", fontsize=8, facecolor="black", labelcolor="white", framealpha=0.6)
    return drawn


def _show(axis: Axes, title: str, pixels: np.ndarray) -> None:
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=11)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(color="0.5", linewidth=0.5)  # a mask that is all lesion is white on white


def draw_contour(axis: Axes, mask: np.ndarray, colour: str, name: str) -> None:
    """A bool mask's outline, with an entry for the legend; nothing where the mask is empty or full."""
    if mask.any() and not mask.all():
        axis.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.5)
        axis.plot([], [], color=colour, label=name)
