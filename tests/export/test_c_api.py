"""The SavedModel in TensorFlow's C API, which TF Serving and clients in other languages stand on."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from busi_keras.card import Card, read_card
from busi_keras.config import CLASSES
from busi_keras.imaging import MASK_THRESHOLD, Letterbox, read_image, read_mask
from busi_keras.inference.engine import OUTPUTS
from busi_keras.inference.predictor import Predictor

LIBRARIES = Path(tf.__file__).parent
LEVEL = 1 / 255


@pytest.mark.skipif(not (LIBRARIES / "libtensorflow_cc.so.2").exists(), reason="this wheel carries no C library")
def test_the_c_api_gives_what_the_predictor_gives(
    saved_model: Path, stored_network: Path, image_files: list[Path], tmp_path: Path
) -> None:
    path = next(path for path in image_files if path.name == "tall.png")
    image = read_image(path)
    np.save(tmp_path / "image.npy", Letterbox.of(image, 64).apply(image)[None])
    calls = [
        call(saved_model, "pixels", tmp_path / "image.npy", tmp_path),
        call(saved_model, "serving_default", path, tmp_path),
        call(saved_model, "explain", path, tmp_path),
        call(saved_model, "card", path, tmp_path),
        call(saved_model, "explain", Path(__file__), tmp_path),
    ]
    (tmp_path / "request.json").write_text(json.dumps(calls))
    program = [sys.executable, Path(__file__).with_name("c_client.py"), LIBRARIES, saved_model]
    done = subprocess.run([*program, tmp_path / "request.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("image_bytes[") == 1
    assert "image_bytes[0] is no PNG, JPEG, BMP or GIF file" in done.stdout

    predictor = Predictor.load(stored_network)
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
    assert Card.from_json((tmp_path / "card.card").read_text()) == read_card(stored_network)


def call(saved_model: Path, signature: str, image: Path, folder: Path) -> dict[str, list]:
    """A call of a signature with one image, as `c_client.py` reads it."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(saved_model))
    found = meta.signature_def[signature]
    suffix = {tf.string.as_datatype_enum: "", tf.float32.as_datatype_enum: ".npy"}
    files = {info.name: folder / f"{signature}.{name}{suffix[info.dtype]}" for name, info in found.outputs.items()}
    return {
        "inputs": [[info.name, str(image)] for info in found.inputs.values()],
        "outputs": [[name, str(file)] for name, file in files.items()],
    }
