"""The SavedModel in TensorFlow's C API, which TF Serving and clients in other languages stand on."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from busi_keras.card import Card, attach_card, read_card
from busi_keras.config import CLASSES
from busi_keras.export.saved_model import export_saved_model
from busi_keras.imaging import MASK_THRESHOLD, Letterbox, read_image, read_mask
from busi_keras.inference.engine import OUTPUTS
from busi_keras.inference.predictor import Predictor
from busi_keras.models import build_multitask
from busi_keras.models.novelty import novelty_head
from tests.lively import lively

LIBRARIES = Path(tf.__file__).parent
LEVEL = 1 / 255


@pytest.fixture(params=["two-stage", "multitask-cnn"])
def stored(request: pytest.FixtureRequest, stored_network: Path, tmp_path: Path) -> Path:
    """The `.keras` file of a network of this approach, untrained."""
    if request.param == "two-stage":
        return stored_network
    keras.utils.set_random_seed(7)
    network = lively(build_multitask(64, "mobilenet-v2", skips=True))
    novelty = novelty_head(network)
    features = np.random.default_rng(3).normal(size=(40, novelty.get_layer("texture").output.shape[-1]))
    novelty.get_layer("distance").fit(features.astype(np.float32))
    network.save(tmp_path / "model.keras")
    card = replace(read_card(stored_network), approach=request.param)
    attach_card(tmp_path / "model.keras", card)
    return tmp_path / "model.keras"


@pytest.fixture
def saved(stored: Path, stored_network: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same as a SavedModel."""
    if stored == stored_network:
        return request.getfixturevalue("saved_model")
    return export_saved_model(stored, tmp_path / "served")


@pytest.mark.skipif(not (LIBRARIES / "libtensorflow_cc.so.2").exists(), reason="this wheel carries no C library")
def test_the_c_api_gives_what_the_predictor_gives(
    stored: Path, saved: Path, image_files: list[Path], tmp_path: Path
) -> None:
    path = next(path for path in image_files if path.name == "tall.png")
    image = read_image(path)
    np.save(tmp_path / "image.npy", Letterbox.of(image, 64).apply(image)[None])
    calls = [
        call(saved, "pixels", tmp_path / "image.npy", tmp_path),
        call(saved, "serving_default", path, tmp_path),
        call(saved, "explain", path, tmp_path),
        call(saved, "card", path, tmp_path),
        call(saved, "explain", Path(__file__), tmp_path),
    ]
    (tmp_path / "request.json").write_text(json.dumps(calls))
    program = [sys.executable, Path(__file__).with_name("c_client.py"), LIBRARIES, saved]
    done = subprocess.run([*program, tmp_path / "request.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("image_bytes[") == 1
    assert "image_bytes[0] is not a PNG, JPEG, BMP or GIF file" in done.stdout

    predictor = Predictor.load(stored)
    expected = predictor.engine.run(np.load(tmp_path / "image.npy"))
    for name in OUTPUTS:
        answer = np.load(tmp_path / f"pixels.{name}.npy")
        np.testing.assert_allclose(answer, getattr(expected, name), atol=1e-4, rtol=1e-4)
    prediction = predictor.predict([image])[0]
    assert prediction.label in CLASSES
    decided = np.abs(prediction.mask_probability - MASK_THRESHOLD) > LEVEL
    for signature in ("serving_default", "explain"):
        assert (tmp_path / f"{signature}.label").read_text() == prediction.label
        probabilities = np.load(tmp_path / f"{signature}.probabilities.npy")[0]
        np.testing.assert_allclose(probabilities, prediction.probabilities, atol=LEVEL)
        assert np.load(tmp_path / f"{signature}.novelty.npy")[0] == pytest.approx(prediction.novelty, rel=0.02)
        mask = read_mask(tmp_path / f"{signature}.mask_png_bytes")
        np.testing.assert_array_equal(mask[decided], prediction.mask[decided])
    heat_map = read_image(tmp_path / "explain.heatmap_png_bytes")[..., 0] / 255
    assert prediction.heat_map is not None
    np.testing.assert_allclose(heat_map, prediction.heat_map, atol=1.5 * LEVEL)
    assert Card.from_json((tmp_path / "card.card").read_text()) == read_card(stored)


def call(saved_model: Path, signature: str, image: Path, folder: Path) -> dict[str, list]:
    """A call of a signature with one image, as `c_client.py` reads it."""
    [graph] = SavedModel.FromString((saved_model / "saved_model.pb").read_bytes()).meta_graphs
    found = graph.signature_def[signature]
    suffix = {tf.string.as_datatype_enum: "", tf.float32.as_datatype_enum: ".npy"}
    files = {info.name: folder / f"{signature}.{name}{suffix[info.dtype]}" for name, info in found.outputs.items()}
    return {
        "inputs": [[info.name, str(image)] for info in found.inputs.values()],
        "outputs": [[name, str(file)] for name, file in files.items()],
    }
