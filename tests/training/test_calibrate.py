"""After training a network knows what images like those of training look like."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from busi_keras.card import Card
from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.imaging import Letterbox
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.inference.predictor import Prediction, Predictor
from busi_keras.models import build_multitask
from busi_keras.training.batches import Arrays
from busi_keras.training.calibrate import Calibration, calibrate
from tests.tiny import TINY

SIZE = 64


def phantoms(seed: int, count: int) -> Arrays:
    labels = np.arange(count) % len(CLASSES)
    made = [make_phantom(seed, index, int(label), SIZE, SIZE) for index, label in enumerate(labels)]
    images = np.stack([np.repeat(one.image[..., None], 3, axis=-1) for one in made])
    return Arrays(images, np.stack([one.mask[..., None] for one in made]).astype(np.uint8), labels.astype(np.int32))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(2)
    return build_multitask(SIZE, TINY, skips=True)


@pytest.fixture(scope="module")
def calibration(network: keras.Model) -> Calibration:
    return calibrate(network, phantoms(0, 60), phantoms(1, 45), batch_size=16)


def novelty(network: keras.Model, images: np.ndarray) -> np.ndarray:
    return network.predict_on_batch(images.astype(np.float32))["novelty"]


def test_images_of_the_same_kind_raise_no_alarm(network: keras.Model, calibration: Calibration) -> None:
    alarms = novelty(network, phantoms(2, 60).images) > calibration.novelty_threshold
    assert alarms.mean() <= 0.05


def test_a_photograph_noise_and_blank_images_do(network: keras.Model, calibration: Calibration) -> None:
    photograph = load_sample_image("china.jpg")
    rng = np.random.default_rng(0)
    foreign = {
        "photograph": Letterbox.of(photograph, SIZE).apply(photograph),
        "noise": rng.integers(0, 256, (SIZE, SIZE, 3)),
        "black": np.zeros((SIZE, SIZE, 3)),
        "grey": np.full((SIZE, SIZE, 3), 128),
    }
    found = dict(zip(foreign, novelty(network, np.stack(list(foreign.values()))), strict=True))
    assert {name for name, distance in found.items() if distance > calibration.novelty_threshold} == set(foreign)


def test_a_prediction_warns_of_a_photograph_and_a_blank_image(network: keras.Model, calibration: Calibration) -> None:
    card = Card(
        "multitask", SIZE, "BUSI", {}, "grouped", "none", TINY, {}, "test", {}, {}, "2026-11-27",
        novelty_threshold=calibration.novelty_threshold,
    )  # fmt: skip
    predictor = Predictor(KerasEngine(network), card)
    foreign = [load_sample_image("china.jpg"), np.zeros((300, 400, 3), np.uint8)]
    for prediction in predictor.predict(foreign):
        assert said_to_be_unlike(prediction)
    alike = predictor.predict(list(phantoms(2, 20).images))
    assert sum(map(said_to_be_unlike, alike)) <= 1


def said_to_be_unlike(prediction: Prediction) -> bool:
    return any(warning.startswith("unlike the training images") for warning in prediction.warnings)
