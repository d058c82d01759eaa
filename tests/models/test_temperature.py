from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import softmax

from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.models import build_classifier, build_multitask, build_two_stage, build_unet
from busi_keras.models.temperature import set_temperature
from tests.tiny import TINY

pytestmark = pytest.mark.backends

SIZE = 64
NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "multitask": lambda: build_multitask(SIZE, TINY),
    "two-stage": lambda: build_two_stage(build_unet(SIZE, width=4), build_classifier(SIZE, TINY)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_stored_network_gives_calibrated_probabilities(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    network = NETWORKS[name]()
    images = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    before = network.predict_on_batch(images)["label"]
    set_temperature(network, 2.5)
    np.testing.assert_allclose(network.predict_on_batch(images)["label"], before / 2.5, atol=1e-5)
    network.save(tmp_path / "network.keras")
    outputs = KerasEngine.load(tmp_path / "network.keras").run(images)
    np.testing.assert_allclose(outputs.probabilities, softmax(before / 2.5, axis=-1), atol=1e-5)
