"""`predict`: masks, classes and overlays for image files; a broken file never stops the others."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.errors import UsageError
from busi_keras.evaluation.lesions import Lesion
from busi_keras.files import replacing, write_text
from busi_keras.imaging import encode_png, read_image
from busi_keras.inference.paths import image_files, output_names
from busi_keras.inference.predictor import Predictor
from busi_keras.report.overlay import overlay
from busi_keras.workflows.console import progress_bar
from busi_keras.workflows.models import load_predictor

COLUMNS = (
    "path",
    "label",
    *(f"p_{name}" for name in CLASSES),
    "lesions",
    "largest_box",
    "largest_area_px",
    "novelty",
    "warnings",
)


@dataclass(frozen=True)
class Predicted:
    """What is said of one file; `mask` is where its mask was written, if it was.

    The pixels are not kept, so that thousands of files fit into memory.
    """

    path: Path
    label: str
    probabilities: tuple[float, ...]
    lesions: tuple[Lesion, ...]
    mask: Path | None
    novelty: float
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `predict --json` prints it."""
        return {
            "path": str(self.path),
            "label": self.label,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "lesions": [asdict(lesion) for lesion in self.lesions],
            "mask": str(self.mask) if self.mask else None,
            "novelty": self.novelty,
            "warnings": list(self.warnings),
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
        where = f"{len(self.done)} images predicted, masks and tables in {output}" if self.done else "nothing predicted"
        return "\n".join([*lines, where, RESEARCH_USE])


def predict_paths(
    model: Path | None, paths: Sequence[Path], output: Path | None, server: str | None = None
) -> Predictions:
    """Predicts files and folders with a stored model, or one that is served, showing progress.

    Args:
        model: a run folder or a `.keras` file; None for the newest run.
        server: as in `Predictor.connect`, instead of a model.
        paths: image files and folders.
        output: as in `predict_files`.

    Raises:
        UsageError: as `predict_files`; also where there is no such model or server.
    """
    files = image_files(paths)
    predictor = load_predictor(model, server)
    with progress_bar("predicting", len(files)) as advance:
        return predict_files(predictor, files, output, advance)


def predict_files(
    predictor: Predictor,
    files: Sequence[Path],
    output: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Predictions:
    """Predicts image files, one after another; files that cannot be read are listed in the result.

    Args:
        output: where `NAME_mask.png`, `NAME_overlay.png`, `predictions.csv` and `predictions.json` are written; None
            to write nothing.
        progress: called after each file.

    Raises:
        UsageError: the disk is full.
    """
    names = output_names(files)
    done: list[Predicted] = []
    failed: list[Failed] = []

    def readable() -> Iterator[tuple[Path, np.ndarray]]:
        for path in files:
            try:
                yield path, read_image(path)
            except UsageError as error:
                failed.append(Failed(path, str(error)))
                progress()

    for (path, image), prediction in predictor.stream(readable()):
        mask = None
        if output is not None:
            mask = output / f"{names[path]}_mask.png"
            _write(mask, encode_png(prediction.mask))
            _write(output / f"{names[path]}_overlay.png", encode_png(overlay(image, prediction.mask)))
        done.append(
            Predicted(
                path,
                prediction.label,
                prediction.probabilities,
                prediction.lesions,
                mask,
                prediction.novelty,
                prediction.warnings,
            )
        )
        progress()
    result = Predictions(tuple(done), tuple(failed))
    if output is not None:
        _write_tables(output, result)
    return result


def _line(one: Predicted) -> str:
    probabilities = ", ".join(f"{name} {p:.2f}" for name, p in zip(CLASSES, one.probabilities, strict=True))
    lesion = "no lesion outlined"
    if one.lesions:
        lesion = f"lesion {list(one.lesions[0].box)} px" + (
            f" and {len(one.lesions) - 1} more" * (len(one.lesions) > 1)
        )
    return ": ".join([str(one.path), f"{one.label} ({probabilities}), {lesion}"]) + "".join(
        f"\n  warning: {warning}" for warning in one.warnings
    )


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(content)


def _write_tables(output: Path, result: Predictions) -> None:
    write_text(output / "predictions.json", json.dumps(result.to_json(), indent=2) + "\n")
    with replacing(output / "predictions.csv") as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for one in result.done:
            largest = one.lesions[0] if one.lesions else None
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
                )
            )
