"""A network that was trained in bfloat16 gives the same numbers everywhere: those of float32."""

from pathlib import Path

import keras
import numpy as np
import pytest

from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.models import build_multitask, build_unet
from busi_keras.models.backbone import REGISTRY
from busi_keras.models.precision import in_float32
from tests.lively import lively
from tests.tiny import TINY

pytestmark = pytest.mark.backends


@pytest.fixture
def networks() -> tuple[keras.Model, keras.Model]:
    """One in float32, and one in mixed bfloat16 with the same weights."""
    keras.utils.set_random_seed(2)
    wide = lively(build_multitask(64, TINY, skips=True, attention=True))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        trained = build_multitask(64, TINY, skips=True, attention=True)
    finally:
        keras.config.set_dtype_policy("float32")
    trained.set_weights(wide.get_weights())
    return wide, trained


def test_a_network_trained_in_bfloat16_is_run_in_float32(
    networks: tuple[keras.Model, keras.Model], tmp_path: Path
) -> None:
    wide, trained = networks
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    trained.save(tmp_path / "model.keras")
    expected = KerasEngine(wide).run(images)
    found = KerasEngine.load(tmp_path / "model.keras").run(images)
    narrow = KerasEngine(trained).run(images)
    np.testing.assert_allclose(found.mask, expected.mask, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    assert np.abs(narrow.mask - expected.mask).max() > 1e-4


@pytest.mark.parametrize("backbone", REGISTRY)
def test_grey_levels_are_not_rounded_to_bfloat16_on_the_way_in(backbone: str) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layers = [REGISTRY[backbone].preprocessing(), build_unet(32, 2).get_layer("encoder").get_layer("preprocessing")]
    finally:
        keras.config.set_dtype_policy("float32")
    image = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    for layer in layers:
        assert len(np.unique(keras.ops.convert_to_numpy(layer(image))[..., 0])) == 256


def test_one_that_is_in_float32_stays_as_it_is(networks: tuple[keras.Model, keras.Model]) -> None:
    assert in_float32(networks[0]) is networks[0]
