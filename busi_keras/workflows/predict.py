"""`predict`: masks, classes and overlays for image and DICOM files; a broken file never stops the others."""

import csv
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.dicom.detection import is_dicom
from busi_keras.dicom.lesion_size import lesion_size
from busi_keras.dicom.reference import result_stem
from busi_keras.dicom.regions import Spacing
from busi_keras.dicom.results import ResultFiles
from busi_keras.dicom.ultrasound import read_ultrasound
from busi_keras.errors import UnwritableError, UsageError
from busi_keras.evaluation.lesions import Lesion
from busi_keras.files import replacing, write_text
from busi_keras.imaging import encode_png, read_image
from busi_keras.inference.paths import image_files, output_names
from busi_keras.inference.predictor import Prediction, Predictor
from busi_keras.report.overlay import overlay
from busi_keras.workflows.console import progress_bar
from busi_keras.workflows.models import load_predictor
from busi_keras.workflows.predict_dicom import FrameResult, predict_ultrasound

TABLES_EVERY_S = 5.0
WRITING_SHARE = 20
"""Writing tables that have grown long takes one part in so many of the time, at most."""
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
            "lesions": [
                {**asdict(lesion), "size": asdict(lesion_size(lesion, self.spacing))} for lesion in self.lesions
            ],
            "mask": str(self.mask) if self.mask else None,
            "novelty": self.novelty if math.isfinite(self.novelty) else None,
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


def predict_paths(
    model: Path | None,
    paths: Sequence[Path],
    output: Path | None,
    server: str | None = None,
    dicom_output: Path | None = None,
    every: int = 1,
    flips: bool = False,
) -> Predictions:
    """Predicts files and folders with a stored model, or one that is served, showing progress.

    Args:
        model: a run folder or a `.keras` file; None for the newest run.
        server: as in `Predictor.connect`, instead of a model.
        paths: image and DICOM files, and folders of them.
        output, dicom_output, every: as in `predict_files`.
        flips: average each image with its mirror image.

    Raises:
        UsageError: as `predict_files`; also where there is no such model or server.
    """
    if every < 1:
        raise UsageError(f"--every is {every}; give 1 for each frame, or more")
    files = image_files(paths, dicom=True)
    predictor = load_predictor(model, server)
    if flips:
        predictor = predictor.with_flips()
    with progress_bar("predicting", len(files)) as advance:
        return predict_files(predictor, files, output, advance, dicom_output, every, advance.more)


def predict_files(
    predictor: Predictor,
    files: Sequence[Path],
    output: Path | None = None,
    progress: Callable[[], None] = lambda: None,
    dicom_output: Path | None = None,
    every: int = 1,
    more: Callable[[int], None] = lambda frames: None,
) -> Predictions:
    """Predicts image files, one after another, then DICOM files; those that cannot be read, and those that are left
    when a server stops answering, are listed in the result.

    Args:
        output: where `NAME_mask.png`, `NAME_overlay.png`, `predictions.csv` and `predictions.json` are written; None
            to write nothing. NAME is the image's; a DICOM file's may be its patient's, so there it is
            `dicom.reference.result_stem`.
        progress: called after each image, each frame of a DICOM file, and each file that cannot be read.
        dicom_output: where results of DICOM files are written as DICOM, called likewise; None to write none.
        every: look at every n-th frame of a DICOM file, from the first.
        more: called with the number of a DICOM file's frames after the first.

    The tables are brought up to date every few seconds, and whatever ends the work, so that no more is ever lost.

    Raises:
        UsageError: `output` is a folder that images come from, whose masks would be written over; the disk is full.
    """
    in_dicom = {path: is_dicom(path) for path in files}
    images = [path for path in files if not in_dicom[path]]
    if output is not None:
        _require_apart(output, images)
    names = output_names(images)
    done: list[Predicted] = []
    failed: list[Failed] = []
    order = {path: place for place, path in enumerate(files)}

    def result() -> Predictions:
        by_place: Callable[[Predicted | Failed], int] = lambda one: order[one.path]  # noqa: E731
        return Predictions(tuple(sorted(done, key=by_place)), tuple(sorted(failed, key=by_place)))

    def fail(path: Path, error: UsageError) -> None:
        failed.append(Failed(path, str(error)))
        progress()

    def readable(images: Sequence[Path]) -> Iterator[tuple[Path, np.ndarray]]:
        for path in images:
            try:
                yield path, read_image(path)
            except UsageError as error:
                fail(path, error)

    with _tables(output, result) as keep:
        try:
            for (path, image), prediction in predictor.stream(readable(images)):
                mask = None if output is None else _write_pictures(output, names[path], image, prediction.mask)
                done.append(Predicted.of(path, prediction, mask))
                keep()
                progress()
        except UnwritableError:
            raise
        except UsageError as error:  # a server that no longer answers
            settled = {one.path for one in done} | {one.path for one in failed}
            for path in (path for path in images if path not in settled):
                fail(path, error)
        written: Counter[str] = Counter()
        for path in (path for path in files if in_dicom[path]):
            try:
                ultrasound = read_ultrasound(path)
                more(ultrasound.frames_in(every) - 1)
                found = predict_ultrasound(predictor, ultrasound, every, progress)
                results = found.dicom_results(predictor.card) if dicom_output is not None else None
            except UsageError as error:
                fail(path, error)
                continue
            stem = _of_its_own(result_stem(ultrasound), written)
            mask = None if output is None else _write_pictures(output, stem, found.scanned, found.prediction.mask)
            result_files = None
            if results is not None and dicom_output is not None:
                result_files = replace(results, stem=stem).write(dicom_output)
            predicted = Predicted.of(path, found.prediction, mask)
            done.append(replace(predicted, spacing=ultrasound.spacing, frames=found.frames, dicom=result_files))
            keep()
    return result()


def _require_apart(output: Path, images: Sequence[Path]) -> None:
    for path in images:
        if path.resolve().parent == output.resolve():
            raise UsageError(
                f"--output {output} is the folder of {path}, where NAME_mask.png is the true mask of NAME; "
                "name another folder for predicted ones"
            )


@contextmanager
def _tables(output: Path | None, result: Callable[[], Predictions]) -> Iterator[Callable[[], None]]:
    """Keeps the tables in `output`: what it gives brings them up to date, where that is not too recent.

    Args:
        result: what has been predicted so far.
    """
    cost, last = 0.0, time.monotonic()

    def write() -> None:
        nonlocal cost, last
        if output is not None and (found := result()).done:
            started = time.monotonic()
            _write_tables(output, found)
            last = time.monotonic()
            cost = last - started

    def keep() -> None:
        if time.monotonic() - last > max(TABLES_EVERY_S, WRITING_SHARE * cost):
            write()

    try:
        yield keep
    finally:
        write()


def _of_its_own(stem: str, written: Counter[str]) -> str:
    """Two files of one instance do not write over each other's results."""
    written[stem] += 1
    return f"{stem}_{written[stem]}" if written[stem] > 1 else stem


def _line(one: Predicted) -> str:
    probabilities = ", ".join(f"{name} {p:.2f}" for name, p in zip(CLASSES, one.probabilities, strict=True))
    lesion = "no lesion outlined"
    if one.lesions:
        lesion = f"lesion {list(one.lesions[0].box)} px" + (
            f" and {len(one.lesions) - 1} more" * (len(one.lesions) > 1)
        )
        if one.frames:
            lesion += f", {lesion_size(one.lesions[0], one.spacing)}"
    if len(one.frames) > 1:
        lesion += f" in frame {one.frames[0].number}, the largest of {len(one.frames)} frames"
    return ": ".join([str(one.path), f"{one.label} ({probabilities}), {lesion}"]) + "".join(
        f"\n  warning: {warning}" for warning in one.warnings
    )


def _write_pictures(output: Path, name: str, image: np.ndarray, mask: np.ndarray) -> Path:
    """Mask and overlay; gives the mask's path."""
    path = output / f"{name}_mask.png"
    _write(path, encode_png(mask))
    _write(output / f"{name}_overlay.png", encode_png(overlay(image, mask)))
    return path


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(content)


def _write_tables(output: Path, result: Predictions) -> None:
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
