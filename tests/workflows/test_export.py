from pathlib import Path

import keras
import numpy as np
import pytest

from busi_keras.card import Card
from busi_keras.config import Experiment
from busi_keras.data.busi import fingerprint, read_busi
from busi_keras.data.split import Split
from busi_keras.errors import UsageError
from busi_keras.export.int8 import card_of_quantized
from busi_keras.export.process import run_under_tensorflow
from busi_keras.imaging import Letterbox, read_image
from busi_keras.inference.predictor import Predictor
from busi_keras.models import build_unet
from busi_keras.models.decoder import plain_decoder
from busi_keras.models.heads import build_label_head, build_mask_head, build_novelty_head
from busi_keras.models.multitask import with_heads
from busi_keras.training.run import Run
from busi_keras.workflows.export import CALIBRATION_IMAGES, calibration_images, export_run
from busi_keras.workflows.train import save_model


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


@pytest.mark.parametrize("export_format", ["openvino", "openvino-int8-avx2", "litert"])
def test_a_run_is_exported_beside_its_network_and_predicts_as_it_does(
    export_format: str, phantom_folder: Path, tmp_path: Path
) -> None:
    records = read_busi(phantom_folder)
    names = [record.name for record in records]
    split = Split(train=tuple(names[::2]), validation=tuple(names[1::4]), test=tuple(names[3::4]))
    run = Run(tmp_path)
    run.begin(Experiment("multitask", "phantom", fingerprint(records)), split, phantom_folder)
    keras.utils.set_random_seed(3)
    encoder = build_unet(32, width=8).get_layer("encoder")
    mask_head = build_mask_head(encoder, lambda pyramid: [plain_decoder(pyramid[-1], (8, 8, 8))])
    network = with_heads(encoder, mask_head, build_label_head(encoder), build_novelty_head(encoder))
    card = Card("multitask", 32, "phantom", {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-25")
    save_model(network, card, run.model_file)

    data = str(phantom_folder) if "int8" in export_format else "auto"
    written = export_run(tmp_path, export_format, data=data)
    assert written.parent == tmp_path
    images = [read_image(record.image) for record in records[:6]]
    predictors = Predictor.load(written), Predictor.load(run.model_file)
    stored = predictors[1].card
    assert predictors[0].card == (card_of_quantized(stored, 1.0) if "int8" in export_format else stored)
    tolerance = 0.05 if "int8" in export_format else 1e-4
    for found, expected in zip(*(predictor.predict(images) for predictor in predictors), strict=True):
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=tolerance)
        assert np.abs(found.mask_probability - expected.mask_probability).mean() < tolerance
    with pytest.raises(UsageError, match=rf"{written.name} exists already"):
        export_run(tmp_path, export_format, data=data)


def test_formats_that_are_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="--format is coreml; it must be one of saved-model, onnx, openvino, openvino-int8"
    ):
        export_run(tmp_path, "coreml")


def test_data_that_no_export_would_look_at_and_an_unfinished_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--data is scans, but only int8 formats use images; leave it out"):
        export_run(tmp_path, "onnx", data="scans")
    with pytest.raises(UsageError, match=r"model.keras does not exist; train a model first"):
        export_run(tmp_path, "onnx")
    Run(tmp_path).experiment_file.write_text("{}")
    with pytest.raises(UsageError, match=rf"has no finished model; .*: python cli.py train --run-dir {tmp_path} --res"):
        export_run(tmp_path, "onnx")


def test_an_export_that_is_killed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hungry.py").write_text("import os, signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"exporting .*model\.keras was killed by signal 9, perhaps for lack of"):
        run_under_tensorflow("hungry", tmp_path / "model.keras", tmp_path / "model.onnx")
