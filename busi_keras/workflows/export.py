"""`export`: a run in a format that goes into production."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from busi_keras.card import read_card
from busi_keras.data.busi import Record
from busi_keras.errors import UsageError
from busi_keras.export.engine_file import ENGINE_FILES, export_engine_file
from busi_keras.export.saved_model import export_saved_model
from busi_keras.imaging import Letterbox, read_image
from busi_keras.run_files import network_file
from busi_keras.training.run import Run
from busi_keras.workflows.console import stderr_console
from busi_keras.workflows.data_set import part_records, records_of

SAVED_MODEL = "saved-model"
FORMATS = (SAVED_MODEL, *ENGINE_FILES)
SAVED_MODELS = Path("saved_models")
CALIBRATION_IMAGES = 200
COARSE_WEIGHTS = (
    "openvino-int8-avx2 has 7-bit weights, which lose more accuracy than 8-bit ones: score it on your images, and use "
    "openvino-int8 if the processor has VNNI, otherwise openvino"
)


def export_run(run: Path, export_format: str = SAVED_MODEL, output: Path | None = None, data: str = "auto") -> Path:
    """Exports a run or a `.keras` file.

    Args:
        export_format: one of `FORMATS`.
        output: what is written; by default a version in `saved_models/APPROACH`, or a file beside the `.keras` file.
        data: of int8, where the run's images are; as in `data_set.source_of`.

    Returns:
        What was written: for a SavedModel, the version's folder.

    Raises:
        UsageError: the run is not finished, `data` is given and of no use, the format is not known, a package that it
            needs is not installed, or the file exists.
    """
    if export_format not in FORMATS:
        raise UsageError(f"--format is {export_format}; it must be one of {', '.join(FORMATS)}")
    weight_bits = ENGINE_FILES[export_format].weight_bits if export_format in ENGINE_FILES else None
    if data != "auto" and not weight_bits:
        raise UsageError(f"--data is {data}, but only int8 formats use images; leave it out")
    model_file = network_file(run)
    if Run(run).experiment_file.exists() and not model_file.exists():
        raise UsageError(
            f"{run} has no finished model; finish its training: python cli.py train --run-dir {run} --resume"
        )
    card = read_card(model_file)
    if export_format == SAVED_MODEL:
        return export_saved_model(model_file, output or SAVED_MODELS / card.approach)
    chosen = ENGINE_FILES[export_format]
    if chosen.weight_bits == 7:
        stderr_console().print(COARSE_WEIGHTS, style="yellow")
    target = output or model_file.with_name(model_file.stem + chosen.ending)
    images = calibration_images(run, data, card.image_size) if chosen.weight_bits else iter(())
    return export_engine_file(model_file, export_format, target, images)


def calibration_images(folder: Path, data: str, size: int) -> Iterator[np.ndarray]:
    """Some of a run's training images as its network takes them: float32 `(1, S, S, 3)`, letterboxed, 0-255.

    Args:
        data: where its images are; as in `data_set.source_of`.
        size: S, side of the network's input in pixels.

    Raises:
        UsageError: it is no run, or the data are others than it was trained on.
    """
    if not folder.is_dir():
        raise UsageError(
            f"int8 takes its ranges from the training images, and {folder} names none; name its run folder"
        )
    run = Run(folder)
    records = part_records(run.experiment, run.split, "train", records_of(run, data))
    step = -(-len(records) // CALIBRATION_IMAGES)  # of each class its share: they come class by class
    return (_pixels(record, size) for record in records[::step])


def _pixels(record: Record, size: int) -> np.ndarray:
    image = read_image(record.image)
    return Letterbox.of(image, size).apply(image)[None]
