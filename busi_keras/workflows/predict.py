"""`predict`: masks, classes and overlays for image and DICOM files; a broken file never stops the others."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from busi_keras.card import Card
from busi_keras.dicom.detection import is_dicom
from busi_keras.dicom.reference import result_stem
from busi_keras.dicom.ultrasound import read_ultrasound
from busi_keras.errors import UnreachableError, UnwritableError, UsageError
from busi_keras.files import replacing
from busi_keras.imaging import encode_png, read_image
from busi_keras.inference.paths import image_files, output_names
from busi_keras.inference.predictor import Prediction, Predictor
from busi_keras.report.overlay import overlay
from busi_keras.workflows.console import progress_bar
from busi_keras.workflows.models import load_predictor
from busi_keras.workflows.predict_dicom import predict_ultrasound
from busi_keras.workflows.predicted import Failed, Predicted, Predictions, has_tables, write_tables

log = logging.getLogger(__name__)

WITHHELD = (
    "a name may be visible in the image, so the overlay shows only the outline; check the image, and use "
    "--allow-burnt-in if there is none"
)
TABLES_EVERY_S = 5.0
WRITING_SHARE = 20
"""Writing tables that have grown long takes one part in so many of the time, at most."""


def predict_paths(
    model: Path | None,
    paths: Sequence[Path],
    output: Path | None,
    server: str | None = None,
    dicom_output: Path | None = None,
    every: int = 1,
    flips: bool = False,
    allow_burnt_in: bool = False,
) -> Predictions:
    """Predicts files and folders with a stored model, or one that is served, showing progress.

    Args:
        model: a run folder or any stored model, see `inference.formats`; None for the newest run.
        server: as in `Predictor.connect`, instead of a model.
        paths: image and DICOM files, and folders of them.
        output, dicom_output, every, allow_burnt_in: as in `predict_files`.
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
        found = predict_files(predictor, files, output, advance, dicom_output, every, allow_burnt_in, advance.more)
    if server is not None:
        _require_one_model(server, predictor.card)
    return found


def _require_one_model(server: str, card: Card) -> None:
    """Says so where a server has switched to another version: the card is then not that of all predictions."""
    with suppress(UsageError):  # it answers no longer: what failed is listed
        if Predictor.connect(server).card != card:
            log.warning(
                "%s has switched to another version of the model: some predictions may be from it, but are judged by "
                "the first one's thresholds; predict again, or name a version: .../versions/N",
                server,
            )


def predict_files(
    predictor: Predictor,
    files: Sequence[Path],
    output: Path | None = None,
    progress: Callable[[], None] = lambda: None,
    dicom_output: Path | None = None,
    every: int = 1,
    allow_burnt_in: bool = False,
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
        allow_burnt_in: draw an overlay of a DICOM file on its image, too, where a name may be written on that.
        more: called with the number of a DICOM file's frames after the first.

    The tables are brought up to date every few seconds, and whatever ends the work, so that no more is ever lost.

    Raises:
        UsageError: `output` is a folder that images come from, whose masks would be written over; the disk is full.
    """
    in_dicom = {path: is_dicom(path) for path in files}
    images = [path for path in files if not in_dicom[path]]
    if output is not None:
        _require_apart(output, images)
    with _Results(files, output, progress) as results:
        _predict_images(predictor, images, results)
        _predict_scans(
            predictor, [path for path in files if in_dicom[path]], results, dicom_output, every, allow_burnt_in, more
        )
    return results.so_far()


class _Results:
    """What came of the files so far. The tables in `output` follow every few seconds, and when the work ends, however.

    Args:
        files: all, in their order.
        output: None to keep no tables.
        progress: called for each file that failed.

    Attributes:
        output, progress: as given.
    """

    def __init__(self, files: Sequence[Path], output: Path | None, progress: Callable[[], None]) -> None:
        self._place = {path: place for place, path in enumerate(files)}
        self.output, self.progress = output, progress
        self._done: list[Predicted] = []
        self._failed: list[Failed] = []
        self._cost, self._last = 0.0, time.monotonic()

    def __enter__(self) -> "_Results":
        return self

    def __exit__(self, *raised: object) -> None:
        self._write()

    def add(self, one: Predicted) -> None:
        self._done.append(one)
        if time.monotonic() - self._last > max(TABLES_EVERY_S, WRITING_SHARE * self._cost):
            self._write()

    def fail(self, path: Path, error: UsageError) -> None:
        self._failed.append(Failed(path, str(error)))
        self.progress()

    def missing(self, paths: Sequence[Path]) -> list[Path]:
        """Those of which nothing is known."""
        settled = {one.path for one in self._done} | {one.path for one in self._failed}
        return [path for path in paths if path not in settled]

    def so_far(self) -> Predictions:
        """All, in the order of the files."""
        return Predictions(
            tuple(sorted(self._done, key=lambda one: self._place[one.path])),
            tuple(sorted(self._failed, key=lambda one: self._place[one.path])),
        )

    def _write(self) -> None:
        if self.output is not None and (self._done or has_tables(self.output)):
            started = time.monotonic()
            write_tables(self.output, self.so_far())
            self._last = time.monotonic()
            self._cost = self._last - started


def _predict_images(predictor: Predictor, images: Sequence[Path], results: _Results) -> None:
    names = output_names(images)

    def readable() -> Iterator[tuple[Path, np.ndarray]]:
        for path in images:
            try:
                yield path, read_image(path)
            except UsageError as error:
                results.fail(path, error)

    remaining = readable()
    while batch := list(islice(remaining, predictor.batch_size)):
        try:
            _predict_batch(predictor, batch, names, results)
        except UnreachableError as error:
            for path in results.missing(images):
                results.fail(path, error)
            return


def _predict_batch(
    predictor: Predictor, batch: Sequence[tuple[Path, np.ndarray]], names: Mapping[Path, str], results: _Results
) -> None:
    """Predicts images that fit into one batch; those of one that is refused are asked for one by one."""
    try:
        for (path, image), prediction in predictor.stream(batch):
            mask = _write_pictures(results.output, names[path], image, prediction)
            results.add(Predicted.of(path, prediction, mask))
            results.progress()
    except (UnreachableError, UnwritableError):
        raise
    except UsageError as error:  # before the first of them was answered
        if len(batch) == 1:
            results.fail(batch[0][0], error)
            return
        for one in batch:
            _predict_batch(predictor, [one], names, results)


def _predict_scans(
    predictor: Predictor,
    paths: Sequence[Path],
    results: _Results,
    dicom_output: Path | None,
    every: int,
    allow_burnt_in: bool,
    more: Callable[[int], None],
) -> None:
    written: Counter[str] = Counter()
    for path in paths:
        try:
            ultrasound = read_ultrasound(path)
            more(ultrasound.frames_in(every) - 1)
            found = predict_ultrasound(predictor, ultrasound, every, results.progress)
            in_dicom = None if dicom_output is None else found.dicom_results(predictor.card)
        except UnreachableError as error:
            for left in results.missing(paths):
                results.fail(left, error)
            return
        except UsageError as error:
            results.fail(path, error)
            continue
        stem = _of_its_own(result_stem(ultrasound), written)
        picture, warnings = found.scanned, found.prediction.warnings
        if ultrasound.may_name_patient and not allow_burnt_in:
            picture, warnings = np.zeros_like(picture), (*warnings, *((WITHHELD,) if results.output else ()))
        mask = _write_pictures(results.output, stem, picture, found.prediction)
        files = replace(in_dicom, stem=stem).write(dicom_output) if in_dicom and dicom_output else None
        predicted = replace(Predicted.of(path, found.prediction, mask), warnings=warnings)
        results.add(replace(predicted, spacing=ultrasound.spacing, frames=found.frames, dicom=files))


def _require_apart(output: Path, images: Sequence[Path]) -> None:
    for path in images:
        if path.parent.resolve() == output.resolve():
            raise UsageError(
                f"--output {output} is the folder of {path}, where NAME_mask.png is the true mask of NAME; "
                "name another folder for predicted ones"
            )


def _of_its_own(stem: str, written: Counter[str]) -> str:
    """Two files of one instance do not write over each other's results."""
    written[stem] += 1
    return f"{stem}_{written[stem]}" if written[stem] > 1 else stem


def _write_pictures(output: Path | None, name: str, image: np.ndarray, prediction: Prediction) -> Path | None:
    """Mask and overlay, where there is an output; gives the mask's path."""
    if output is None:
        return None
    path = output / f"{name}_mask.png"
    _write(path, encode_png(prediction.mask))
    _write(output / f"{name}_overlay.png", encode_png(overlay(image, prediction.mask)))
    return path


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(content)
