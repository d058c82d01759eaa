"""What is said of each predicted file, as lines, JSON and tables."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.dicom.lesion_size import lesion_json, lesion_size
from busi_keras.dicom.regions import Spacing
from busi_keras.dicom.results import ResultFiles
from busi_keras.evaluation.lesions import Lesion
from busi_keras.files import replacing, write_text
from busi_keras.inference.predictor import Prediction, finite
from busi_keras.workflows.predict_dicom import FrameResult

COLUMNS = (
    *("path", "label", *(f"p_{name}" for name in CLASSES), "lesions", "largest_box", "largest_area_px"),
    *("novelty", "warnings", "frame", "largest_width", "largest_height", "largest_area", "size_unit"),
)


@dataclass(frozen=True)
class Predicted:
    """What is said of one file; the pixels are not kept, so that thousands of files fit into memory.

    Attributes:
        mask: where its mask was written, if it was.
        spacing: size of a pixel; None where the file does not say.
        frames: of a DICOM file, all that were looked at, that with the largest lesion first: what else is said here is
            of that one. Empty for an image.
        dicom: where the results were written as DICOM, if they were.
    """

    path: Path
    label: str
    probabilities: tuple[float, ...]
    lesions: tuple[Lesion, ...]
    mask: Path | None
    novelty: float
    warnings: tuple[str, ...]
    spacing: Spacing | None = None
    frames: tuple[FrameResult, ...] = ()
    dicom: ResultFiles | None = None

    @classmethod
    def of(cls, path: Path, prediction: Prediction, mask: Path | None) -> "Predicted":
        """What is kept of a prediction."""
        return cls(
            path,
            prediction.label,
            prediction.probabilities,
            prediction.lesions,
            mask,
            prediction.novelty,
            prediction.warnings,
        )

    def to_json(self) -> dict[str, Any]:
        """As `predict --json` prints it."""
        return {
            "path": str(self.path),
            "label": self.label,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "lesions": [lesion_json(lesion, self.spacing) for lesion in self.lesions],
            "mask": str(self.mask) if self.mask else None,
            "novelty": finite(self.novelty),
            "warnings": list(self.warnings),
            "spacing_mm": [self.spacing.x_mm, self.spacing.y_mm] if self.spacing else None,
            "frame": self.frames[0].number if self.frames else None,
            "frames": [frame.to_json() for frame in self.frames],
            "dicom": self.dicom.to_json() if self.dicom else None,
        }


@dataclass(frozen=True)
class Failed:
    """A file that could not be read, and why."""

    path: Path
    error: str

    def to_json(self) -> dict[str, str]:
        """As `--json` lists it."""
        return {"path": str(self.path), "error": self.error}


@dataclass(frozen=True)
class Predictions:
    """What came of a list of files."""

    done: tuple[Predicted, ...]
    failed: tuple[Failed, ...]

    def to_json(self) -> dict[str, Any]:
        """What `predict --json` prints."""
        return {
            "predictions": [one.to_json() for one in self.done],
            "failed": [one.to_json() for one in self.failed],
            "intended_use": RESEARCH_USE,
        }

    def summary(self, output: Path) -> str:
        """A line a file, what went wrong, and where the results are."""
        lines = [_line(one) for one in self.done]
        lines += [f"failed: {one.error}" for one in self.failed]
        count = "1 image" if len(self.done) == 1 else f"{len(self.done)} images"
        where = f"{count} predicted, masks and tables in {output}" if self.done else "nothing predicted"
        return "\n".join([*lines, where, RESEARCH_USE])


def write_tables(output: Path, result: Predictions) -> None:
    """Writes `predictions.json`, as `predict --json` prints it, and `predictions.csv`, a row a file that
    did not fail."""
    write_text(output / "predictions.json", json.dumps(result.to_json(), indent=2) + "\n")
    with (
        replacing(output / "predictions.csv") as part,
        part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream,  # names that are not UTF-8
    ):
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for one in result.done:
            largest = one.lesions[0] if one.lesions else None
            size = lesion_size(largest, one.spacing) if largest else None
            writer.writerow(
                (
                    one.path,
                    one.label,
                    *(f"{p:.6f}" for p in one.probabilities),
                    len(one.lesions),
                    " ".join(map(str, largest.box)) if largest else "",
                    largest.area_px if largest else "",
                    f"{one.novelty:.4f}",
                    "; ".join(one.warnings),
                    one.frames[0].number if one.frames else "",
                    *((f"{size.width:.6g}", f"{size.height:.6g}", f"{size.area:.6g}", size.unit) if size else [""] * 4),
                )
            )


def has_tables(output: Path) -> bool:
    """Whether tables of an earlier time are there: they must not stand for what failed now."""
    return (output / "predictions.json").exists()


def _line(one: Predicted) -> str:
    probabilities = ", ".join(f"{name} {p:.2f}" for name, p in zip(CLASSES, one.probabilities, strict=True))
    several = len(one.frames) > 1
    lesion = "no lesion outlined"
    if several and not one.lesions:
        number = one.frames[0].number
        lesion += f" in any of {len(one.frames)} frames; frame {number} has the highest probability of malignant"
    if one.lesions:
        lesion = f"lesion {list(one.lesions[0].box)} px" + (
            f" and {len(one.lesions) - 1} more" * (len(one.lesions) > 1)
        )
        if one.frames:
            lesion += f", {lesion_size(one.lesions[0], one.spacing)}"
    if several and one.lesions:
        lesion += f" in frame {one.frames[0].number}, the largest of {len(one.frames)} frames"
    return ": ".join([str(one.path), f"{one.label} ({probabilities}), {lesion}"]) + "".join(
        f"\n  warning: {warning}" for warning in one.warnings
    )
