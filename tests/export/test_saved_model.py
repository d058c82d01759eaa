"""The SavedModel as TF Serving sees it: loaded where Keras cannot be imported, compared with the Predictor."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from busi_keras.card import Card, attach_card
from busi_keras.export.saved_model import export_saved_model
from busi_keras.imaging import MASK_THRESHOLD, read_image, read_mask
from busi_keras.inference.predictor import Predictor
from busi_keras.models import build_classifier, build_two_stage, build_unet

SERVE = """
import sys
sys.modules["keras"] = None
import json, numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures
image_bytes = tf.constant([open(path, "rb").read() for path in sys.argv[3:]])
answer = served["serving_default"](image_bytes=image_bytes)
np.savez(sys.argv[2], label=answer["label"].numpy().astype("S"), probabilities=answer["probabilities"])
for i, png in enumerate(answer["mask_png_bytes"].numpy()):
    open(f"{sys.argv[2]}.{i}.png", "wb").write(png)
print(json.dumps({name: sorted(s.structured_outputs) for name, s in served.items()}))
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(4)
    unet = build_unet(64, width=4)
    logits = unet.get_layer("mask_head").get_layer("logits")
    logits.set_weights([20 * values for values in logits.get_weights()])  # untrained masks hover about the threshold
    network = build_two_stage(unet, build_classifier(64, "resnet50"))
    path = tmp_path_factory.mktemp("model") / "model.keras"
    network.save(path)
    card = Card("two-stage", 64, "phantom", {}, "grouped", "none", "mobilenet-v2", {}, "test", {}, {}, "2026-11-23")
    attach_card(path, card)
    return path


@pytest.fixture(scope="module")
def version(model_file: Path) -> Path:
    """The network as the eighth version of a served model."""
    (model_file.parent / "served" / "7").mkdir(parents=True)
    return export_saved_model(model_file, model_file.parent / "served")


@pytest.fixture(scope="module")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Grey, RGB and RGBA, PNG and JPEG and BMP, larger and smaller than the network's input."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(8)
    coarse = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)

    def image(mode: str, size: tuple[int, int]) -> Image.Image:
        return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)

    image("L", (200, 120)).save(folder / "grey.png")
    image("RGB", (75, 140)).save(folder / "tall.png")
    image("RGBA", (64, 64)).save(folder / "alpha.png")
    image("L", (130, 90)).save(folder / "grey.jpg", quality=95)
    image("RGB", (31, 20)).save(folder / "small.jpg", quality=95)
    image("RGB", (301, 199)).save(folder / "odd.bmp")
    return sorted(folder.iterdir())


def test_image_bytes_give_what_the_predictor_gives(
    model_file: Path, version: Path, image_files: list[Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SERVE, version, tmp_path / "answer.npz", *image_files]
    served = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(served.stdout.splitlines()[-1]) == {
        "serving_default": ["label", "mask_png_bytes", "probabilities"],
        "pixels": ["mask", "probabilities"],
    }
    answer = np.load(tmp_path / "answer.npz")
    images = [read_image(path) for path in image_files]
    for i, prediction in enumerate(Predictor.load(model_file).predict(images)):
        np.testing.assert_allclose(answer["probabilities"][i], prediction.probabilities, atol=1 / 255)
        assert answer["label"][i].decode() == prediction.label
        mask = read_mask(tmp_path / f"answer.npz.{i}.png")
        assert mask.shape == images[i].shape[:2]
        decided = np.abs(prediction.mask_probability - MASK_THRESHOLD) > 1 / 255
        assert decided.mean() > 0.5
        np.testing.assert_array_equal(mask[decided], prediction.mask[decided])


def test_versions_count_up_and_carry_the_card(version: Path) -> None:
    assert version.name == "8"
    card = Card.from_json((version / "assets.extra" / "busi_keras.card.json").read_text())
    assert card.phantom
    assert sorted(path.name for path in version.parent.iterdir()) == ["7", "8"]


def test_bytes_that_are_no_image_are_an_invalid_argument(version: Path, tmp_path: Path) -> None:
    good = io.BytesIO()
    Image.new("L", (40, 30)).save(good, "PNG")
    for name, content in {"text": b"no image", "truncated": good.getvalue()[:-20]}.items():
        (tmp_path / name).write_bytes(content)
        command = [sys.executable, "-c", SERVE, version, tmp_path / "answer.npz", tmp_path / name]
        served = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        assert served.returncode == 1
        assert "InvalidArgumentError" in served.stderr
