"""The report of one case, as PDF and as JSON: image, figure, numbers, which model, when, and what it is for."""

import base64
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES, MALIGNANT
from busi_keras.dicom.lesion_size import lesion_json, lesion_size
from busi_keras.dicom.regions import Spacing
from busi_keras.dicom.scan_area import ScanArea
from busi_keras.evaluation.lesions import Lesion, find_lesions
from busi_keras.imaging import encode_png
from busi_keras.inference.predictor import Prediction, finite
from busi_keras.report.panels import DRAWING, PREDICTED_COLOUR, TRUE_COLOUR, PanelData, draw_contour, render_panels

A4_INCHES = (8.27, 11.69)
LINE_LENGTH = 96
WARNING_COLOUR, WARNING_GROUND = "#8a1c00", "#fdece6"
LINE_HEIGHT = 0.018
"""Of the page: a line of the findings, with what is between lines."""
SHOWN_LESIONS, SHOWN_LESIONS_OF_TWO = 5, 3

# a file's name would reach the log, sign by sign; once for the process, for `catch_warnings` is not for threads
warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")


@dataclass(frozen=True)
class Threshold:
    """From which probability of malignant on an image counts as suspicious, and what that point is called."""

    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}, {self.value:.1%}"

    def suspicious(self, prediction: Prediction) -> bool:
        """Whether an image is at or beyond it."""
        return prediction.probabilities[MALIGNANT] >= self.value


@dataclass(frozen=True)
class CaseReport:
    """What stands in the report.

    Attributes:
        name: what the image's file was called.
        image: uint8 `(height, width, 3)`.
        prediction: of that image.
        model: which model it was.
        software: name and version of the program.
        date: of the report, ISO 8601.
        threshold: None where the model has none.
        spacing: size of a pixel; None where it is not known.
        scan_area: where the image lies in its file's frame; None where it is all of it.
        corrected_mask: bool `(height, width)`, the reader's; None where the reader did not draw one.
        corrected_label: one of `CLASSES`, the reader's; None likewise.
    """

    name: str
    image: np.ndarray
    prediction: Prediction
    model: str
    software: str
    date: str
    threshold: Threshold | None = None
    spacing: Spacing | None = None
    scan_area: ScanArea | None = None
    corrected_mask: np.ndarray | None = None
    corrected_label: str | None = None

    def figure(self) -> np.ndarray:
        """The panels, uint8 `(height, width, 3)`: five where the reader drew a mask, else four."""
        data = PanelData(
            self.image,
            self.prediction,
            self.prediction.heat_map,
            self.prediction.label,
            true_mask=self.corrected_mask,
            truth="corrected",
        )
        return render_panels(data)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON document; PNG images in base64."""
        prediction, corrected = self.prediction, self.corrected_lesions
        return {
            "intended_use": RESEARCH_USE,
            "warnings": list(prediction.warnings),
            "file": self.name,
            "date": self.date,
            "model": self.model,
            "software": self.software,
            "width": self.image.shape[1],
            "height": self.image.shape[0],
            "scan_area": list(self.scan_area.box) if self.scan_area else None,
            "frame_width": self.scan_area.columns if self.scan_area else self.image.shape[1],
            "frame_height": self.scan_area.rows if self.scan_area else self.image.shape[0],
            "label": prediction.label,
            "probabilities": dict(zip(CLASSES, prediction.probabilities, strict=True)),
            "threshold": self._threshold_json(),
            "novelty": finite(prediction.novelty),
            "spacing_mm": [self.spacing.x_mm, self.spacing.y_mm] if self.spacing else None,
            "lesions": self._sizes(prediction.lesions),
            "corrected_label": self.corrected_label,
            "corrected_lesions": None if corrected is None else self._sizes(corrected),
            "image_png": _base64(encode_png(self.image)),
            "mask_png": _base64(encode_png(prediction.mask)),
            "corrected_mask_png": None if self.corrected_mask is None else _base64(encode_png(self.corrected_mask)),
            "figure_png": _base64(encode_png(self.figure())),
        }

    def to_pdf(self) -> bytes:
        """The report on one page of A4; its text can be searched."""
        panels = self.figure()
        buffer = BytesIO()
        with DRAWING, mpl.rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans", "text.parse_math": False}):
            self._page(panels).savefig(buffer, format="pdf", metadata={"Title": "busi_keras report", "Creator": None})
        return buffer.getvalue()

    def _page(self, panels: np.ndarray) -> Figure:
        page = Figure(A4_INCHES)
        FigureCanvasAgg(page)
        page.text(0.08, 0.955, "Breast-ultrasound analysis", fontsize=17, weight="bold")
        page.text(0.08, 0.932, RESEARCH_USE, fontsize=12, weight="bold", color=WARNING_COLOUR)
        top = self._write_warnings(page, 0.912)
        height = 0.30
        self._draw_image(page.add_axes((0.08, top - height, 0.5, height)))
        page.text(0.62, top, f"Class: {self.prediction.label}", fontsize=15, va="top", weight="bold")
        findings = self._findings()
        page.text(0.62, top - 0.03, "\n".join(findings), fontsize=9.5, va="top", linespacing=1.5)
        bottom = min(top - height, top - 0.03 - LINE_HEIGHT * len(findings))
        axis = page.add_axes((0.06, bottom - 0.28, 0.88, 0.26))
        axis.imshow(panels)
        axis.set_axis_off()
        axis.set_anchor("N")
        page.text(0.08, 0.05, "\n".join(self._provenance()), fontsize=8, va="bottom", linespacing=1.5)
        return page

    def _write_warnings(self, page: Figure, top: float) -> float:
        """Writes them in a box below `top`; gives back where the rest begins."""
        if not self.prediction.warnings:
            return top - 0.01
        lines = [line for warning in self.prediction.warnings for line in _wrapped(f"Warning: {warning}")]
        box = {"facecolor": WARNING_GROUND, "edgecolor": WARNING_COLOUR, "pad": 6}
        page.text(0.09, top - 0.012, "\n".join(lines), fontsize=9.5, va="top", color=WARNING_COLOUR, bbox=box)
        return top - 0.045 - 0.0155 * len(lines)

    def _draw_image(self, axis: Axes) -> None:
        axis.imshow(self.image)
        axis.set_axis_off()
        axis.set_anchor("NW")
        draw_contour(axis, self.prediction.mask, PREDICTED_COLOUR, "model's outline")
        if self.corrected_mask is not None:
            draw_contour(axis, self.corrected_mask, TRUE_COLOUR, "reader's outline")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="lower right", fontsize=7, facecolor="black", labelcolor="white", framealpha=0.6)

    def _findings(self) -> list[str]:
        found = [] if self.corrected_label is None else [f"Reader's class: {self.corrected_label}"]
        found += [f"{n} {p:.1%}" for n, p in zip(CLASSES, self.prediction.probabilities, strict=True)]
        if self.threshold is not None:
            at_or_below = "at or above" if self.threshold.suspicious(self.prediction) else "below"
            found += [f"Malignant is {at_or_below} the", f"{self.threshold.name} threshold, {self.threshold.value:.1%}"]
        lesions, corrected = self.prediction.lesions, self.corrected_lesions
        shown = SHOWN_LESIONS if corrected is None else SHOWN_LESIONS_OF_TWO
        found += self._lesion_lines("Lesions outlined", lesions, shown)
        if corrected is not None:
            found += self._lesion_lines("Lesions outlined by the reader", corrected, shown)
        if (lesions or corrected) and self.spacing is None:
            found.append("(pixel spacing is not known)")
        return found

    @property
    def corrected_lesions(self) -> list[Lesion] | None:
        """In the reader's mask, largest first; None where the reader did not draw one."""
        return None if self.corrected_mask is None else find_lesions(self.corrected_mask)

    def _lesion_lines(self, title: str, lesions: Sequence[Lesion], shown: int) -> list[str]:
        lines = [f"{title}: {len(lesions)}"]
        for number, lesion in enumerate(lesions[:shown], start=1):
            x0, y0, x1, y1 = lesion.box
            lines += [f"   {number}: x {x0}-{x1}, y {y0}-{y1} px", f"      {lesion_size(lesion, self.spacing)}"]
        return lines + ([f"   and {len(lesions) - shown} more"] if len(lesions) > shown else [])

    def _sizes(self, lesions: Sequence[Lesion]) -> list[dict[str, Any]]:
        return [lesion_json(lesion, self.spacing) for lesion in lesions]

    def _provenance(self) -> list[str]:
        height, width = self.image.shape[:2]
        size = f"{width} x {height} px"
        if self.scan_area:
            x0, y0, x1, y1 = self.scan_area.box
            size = (
                f"{self.scan_area.columns} x {self.scan_area.rows} px; shown is what is scanned, x {x0}-{x1}, "
                f"y {y0}-{y1}, and lesions are counted from its corner"
            )
        return [
            *_wrapped(f"File: {self.name}, {size}"),
            *_wrapped(f"Model: {self.model}"),
            f"Software: {self.software}",
            f"Date: {self.date}",
            f"{RESEARCH_USE} A research tool, not a medical device.",
        ]

    def _threshold_json(self) -> dict[str, Any] | None:
        if self.threshold is None:
            return None
        suspicious = self.threshold.suspicious(self.prediction)
        return {"name": self.threshold.name, "value": self.threshold.value, "suspicious": suspicious}


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, LINE_LENGTH, subsequent_indent="   ")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
