from pathlib import Path

import numpy as np
import pytest

from busi_keras.config import Experiment
from busi_keras.data.busi import fingerprint, read_busi
from busi_keras.data.split import Split
from busi_keras.errors import UsageError
from busi_keras.imaging import Letterbox, read_image
from busi_keras.training.run import Run
from busi_keras.workflows.export import CALIBRATION_IMAGES, calibration_images, export_run


def test_int8_takes_its_ranges_from_training_images_alone(phantom_folder: Path, tmp_path: Path) -> None:
    records = read_busi(phantom_folder)
    names = [record.name for record in records]
    split = Split(train=tuple(names[::2]), validation=tuple(names[1::4]), test=tuple(names[3::4]))
    Run(tmp_path).begin(Experiment("multitask", "phantom", fingerprint(records)), split, phantom_folder)
    found = list(calibration_images(tmp_path, "auto", size=32))
    assert len(found) == len(split.train) <= CALIBRATION_IMAGES
    images = [read_image(record.image) for record in records if record.name in split.train]
    expected = {Letterbox.of(image, 32).apply(image).tobytes() for image in images}
    assert {pixels.tobytes() for pixels in found} == expected
    assert found[0].shape == (1, 32, 32, 3)
    assert found[0].dtype == np.float32


def test_formats_that_are_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="--format is coreml; it must be one of saved-model, onnx, openvino, openvino-int8"
    ):
        export_run(tmp_path, "coreml")
