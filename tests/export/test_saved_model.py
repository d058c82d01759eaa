"""The SavedModel as TF Serving sees it: loaded where Keras cannot be imported, compared with the Predictor."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from busi_keras.card import Card, attach_card, read_card
from busi_keras.config import CLASSES
from busi_keras.errors import UsageError
from busi_keras.export.saved_model import export_saved_model
from busi_keras.export.signatures import ServedNetwork
from busi_keras.imaging import MASK_THRESHOLD, Letterbox, encode_png, read_image, read_mask
from busi_keras.inference.engine import OUTPUTS
from busi_keras.inference.predictor import Prediction, Predictor
from busi_keras.models import build_multitask
from busi_keras.models.temperature import set_temperature
from tests.lively import lively

LEVEL = 1 / 255
SERVE = """
import sys
from collections.abc import Callable, Mapping
sys.modules["keras"] = None
import json, numpy as np, tensorflow as tf
version, folder, *paths = sys.argv[1:]
served = tf.saved_model.load(version).signatures
image_bytes = tf.constant([open(path, "rb").read() for path in paths])
answers = {name: served[name](image_bytes=image_bytes) for name in ("serving_default", "explain")}
answers["pixels"] = served["pixels"](image=tf.constant(np.load(folder + "/pixels.npy")))
for name, answer in answers.items():
    arrays = {key: value.numpy() for key, value in answer.items() if not key.endswith("_bytes")}
    arrays = {key: value.astype("S") if value.dtype == object else value for key, value in arrays.items()}
    np.savez(f"{folder}/{name}.npz", **arrays)
    for key in set(answer) - set(arrays):
        for row, png in enumerate(answer[key].numpy()):
            open(f"{folder}/{name}.{key}.{row}.png", "wb").write(png)
print(json.dumps({name: sorted(one.structured_outputs) for name, one in served.items()}))
print(served["card"](request=tf.constant(["", ""]))["card"].numpy()[1].decode().replace("\\n", " "))
"""
SAVED_MODEL_CLI = """
import sys
sys.modules["keras"] = None
from tensorflow.python.tools import saved_model_cli
saved_model_cli.main()
"""


@pytest.fixture(scope="module")
def predictions(stored_network: Path, image_files: list[Path]) -> list[Prediction]:
    return Predictor.load(stored_network).predict([read_image(path) for path in image_files])


@pytest.fixture(scope="module")
def pixels(image_files: list[Path]) -> np.ndarray:
    images = [read_image(path) for path in image_files]
    return np.stack([Letterbox.of(image, 64).apply(image) for image in images])


@pytest.fixture(scope="module")
def answers(
    saved_model: Path, image_files: list[Path], pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with what each signature answers, and `stdout`."""
    folder = tmp_path_factory.mktemp("answers")
    np.save(folder / "pixels.npy", pixels)
    command = [sys.executable, "-c", SERVE, saved_model, folder, *image_files]
    served = subprocess.run(command, capture_output=True, text=True, check=False)
    assert served.returncode == 0, served.stderr
    (folder / "stdout").write_text("\n".join(served.stdout.splitlines()[-2:]))
    return folder


def test_it_has_the_documented_signatures_and_outputs(answers: Path, stored_network: Path) -> None:
    signatures, card = (answers / "stdout").read_text().splitlines()
    assert json.loads(signatures) == {
        "serving_default": ["label", "mask_png_bytes", "novelty", "probabilities"],
        "explain": ["heatmap_png_bytes", "label", "mask_png_bytes", "novelty", "probabilities"],
        "pixels": ["heatmap", "mask", "novelty", "probabilities"],
        "card": ["card"],
    }
    assert Card.from_json(card) == read_card(stored_network)


@pytest.mark.parametrize("signature", ["serving_default", "explain"])
def test_image_bytes_give_what_the_predictor_gives(
    signature: str, answers: Path, predictions: list[Prediction]
) -> None:
    answer = np.load(answers / f"{signature}.npz")
    for row, prediction in enumerate(predictions):
        np.testing.assert_allclose(answer["probabilities"][row], prediction.probabilities, atol=LEVEL)
        assert answer["label"][row].decode() == prediction.label
        assert answer["novelty"][row] == pytest.approx(prediction.novelty, rel=0.02)
        mask = read_mask(answers / f"{signature}.mask_png_bytes.{row}.png")
        assert mask.shape == prediction.mask.shape
        decided = np.abs(prediction.mask_probability - MASK_THRESHOLD) > LEVEL
        assert decided.mean() > 0.5
        np.testing.assert_array_equal(mask[decided], prediction.mask[decided])


def test_explain_gives_the_gradients_heat_map_at_the_images_own_size(
    answers: Path, predictions: list[Prediction], pixels: np.ndarray
) -> None:
    masks = np.load(answers / "pixels.npz")["mask"]
    settled = [row for row, mask in enumerate(masks) if box(mask > 0.5 - LEVEL) == box(mask > 0.5 + LEVEL)]
    assert len(settled) >= len(masks) / 2  # elsewhere rounding may crop another part of the image
    for row in settled:
        image = read_image(answers / f"explain.heatmap_png_bytes.{row}.png")
        assert (image == image[..., :1]).all()
        assert image[..., 0].max() > 0.5 * 255
        expected = predictions[row].heat_map
        assert expected is not None
        np.testing.assert_allclose(image[..., 0] / 255, expected, atol=1.5 * LEVEL)


def test_pixels_give_what_the_keras_file_gives(answers: Path, stored_network: Path, pixels: np.ndarray) -> None:
    served = np.load(answers / "pixels.npz")
    expected = Predictor.load(stored_network).engine.run(pixels)
    for name in OUTPUTS:
        values = getattr(expected, name)
        assert served[name].dtype == np.float32
        np.testing.assert_allclose(served[name], values, atol=1e-4, rtol=1e-4)


def test_its_probabilities_are_the_calibrated_ones(answers: Path, stored_network: Path, pixels: np.ndarray) -> None:
    network = keras.saving.load_model(stored_network)
    set_temperature(network, 1.0)
    logits = network.predict_on_batch(pixels)["label"]
    found = np.load(answers / "pixels.npz")["probabilities"]
    np.testing.assert_allclose(found, softmax(logits / 2.5, axis=1), atol=1e-4)
    assert np.abs(found - softmax(logits, axis=1)).max() > 0.05


def test_saved_model_cli_without_keras_gives_what_the_predictor_gives(
    saved_model: Path, image_files: list[Path], predictions: list[Prediction], tmp_path: Path
) -> None:
    row = next(row for row, path in enumerate(image_files) if path.name == "alpha.png")
    np.save(tmp_path / "bytes.npy", np.array([image_files[row].read_bytes()]))
    np.save(tmp_path / "anything.npy", np.array([b"any"]))
    for signature, feed in {"explain": "image_bytes=bytes.npy", "card": "request=anything.npy"}.items():
        command = [
            sys.executable, "-c", SAVED_MODEL_CLI, "run", "--dir", saved_model, "--tag_set", "serve",
            "--signature_def", signature, "--inputs", feed, "--outdir", signature,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    def answer(signature: str, output: str) -> np.ndarray:
        return np.load(tmp_path / signature / f"{output}.npy", allow_pickle=True)[0]

    np.testing.assert_allclose(answer("explain", "probabilities"), predictions[row].probabilities, atol=LEVEL)
    assert answer("explain", "label").decode() == predictions[row].label
    assert read_image(answer("explain", "heatmap_png_bytes")).shape == (64, 64, 3)
    assert Card.from_json(answer("card", "card").decode()).phantom


def test_versions_count_up_and_carry_card_and_labels(saved_model: Path) -> None:
    assert saved_model.name == "8"
    assert Card.from_json((saved_model / "assets" / "busi_keras.card.json").read_text()).phantom
    assert (saved_model / "assets" / "labels.txt").read_text().split() == list(CLASSES)
    [graph] = SavedModel.FromString((saved_model / "saved_model.pb").read_bytes()).meta_graphs
    assert {asset.filename for asset in graph.asset_file_def} == {"labels.txt", "busi_keras.card.json"}
    assert sorted(path.name for path in saved_model.parent.iterdir()) == ["7", "8"]


def test_it_is_hardly_larger_than_its_weights(saved_model: Path, stored_network: Path) -> None:
    size = sum(path.stat().st_size for path in saved_model.rglob("*") if path.is_file())
    weights = (saved_model / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert size <= weights + max(0.1 * weights, 8e6)


def test_warm_up_requests_can_be_replayed(saved_model: Path, served: Mapping[str, Callable]) -> None:
    messages = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    records = tf.data.TFRecordDataset(str(saved_model / "assets.extra" / "tf_serving_warmup_requests"))
    seen = set()
    for record in records:
        request = messages.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        answer = served[request.model_spec.signature_name](**inputs)
        assert all(len(tensor) == 1 for tensor in answer.values())
        assert request.model_spec.name == "served"
        seen.add(request.model_spec.signature_name)
    assert seen == set(served)


def test_a_network_of_mixed_precision_answers_in_float32() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        keras.utils.set_random_seed(6)
        network = lively(build_multitask(64, "mobilenet-v2", skips=True))
    finally:
        keras.config.set_dtype_policy("float32")
    card = Card("multitask-cnn", 64, "phantom", {}, "grouped", "none", "mobilenet-v2", {}, "test", {}, {}, "2026-11-23")
    signatures = ServedNetwork(network, card).signatures()
    image = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    closed_form = signatures["pixels"](tf.constant(image[None], tf.float32))
    assert {tensor.dtype for tensor in closed_form.values()} == {tf.float32}
    by_gradient = signatures["explain"](tf.constant([encode_png(image)]))
    assert by_gradient["probabilities"].dtype == tf.float32
    heat_map = read_image(by_gradient["heatmap_png_bytes"].numpy()[0])[..., 0] / 255
    assert heat_map.max() > 0.5
    np.testing.assert_allclose(heat_map, closed_form["heatmap"][0], atol=0.02)  # bfloat16 has 8 bits


def test_an_export_to_a_file_is_refused_before_any_work(stored_network: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="taken is a file; name a folder"):
        export_saved_model(stored_network, tmp_path / "taken")
    with pytest.raises(UsageError, match=r"taken/below cannot be written \(Not a directory\); name another place"):
        export_saved_model(stored_network, tmp_path / "taken" / "below")


def test_a_failed_export_leaves_nothing(stored_network: Path, tmp_path: Path) -> None:
    shutil.copy(stored_network, tmp_path / "broken.keras")
    content = bytearray((tmp_path / "broken.keras").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "broken.keras").write_bytes(content)
    with pytest.raises(UsageError, match=r"could not be exported to .*broken\.keras is damaged|cannot be loaded"):
        export_saved_model(tmp_path / "broken.keras", tmp_path / "served")
    assert not list((tmp_path / "served").iterdir())


def box(found: np.ndarray) -> list[int]:
    places = np.argwhere(found)
    return [*places.min(axis=0), *places.max(axis=0)] if len(places) else []


def test_a_network_that_other_backends_stored_answers_the_same(
    stored_network: Path, answers: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    stored = tmp_path / "other.keras"
    shutil.copy(stored_network, stored)
    code = "import sys, keras, busi_keras.models; keras.models.load_model(sys.argv[1]).save(sys.argv[1])"
    for backend in ("jax", "torch"):
        subprocess.run([sys.executable, "-c", code, stored], check=True, env=os.environ | {"KERAS_BACKEND": backend})
    attach_card(stored, read_card(stored_network))
    served = tf.saved_model.load(str(export_saved_model(stored, tmp_path / "served"))).signatures["pixels"]
    found, expected = served(image=tf.constant(pixels)), np.load(answers / "pixels.npz")
    for name in OUTPUTS:
        np.testing.assert_allclose(found[name].numpy(), expected[name], atol=1e-5)
