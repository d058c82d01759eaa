"""What is unlike the training images has a large distance, in the network and in its file."""

from pathlib import Path

import keras
import numpy as np
import pytest

from busi_keras.models import build_classifier
from busi_keras.models.novelty import Novelty, novelty_head
from tests.tiny import TINY


def fitted(features: np.ndarray, components: int) -> Novelty:
    layer = Novelty(components)
    layer(features)
    layer.fit(features)
    return layer


def distances(layer: Novelty, features: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(features.astype(np.float32)))


@pytest.mark.backends
def test_with_all_directions_it_is_the_mahalanobis_distance() -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(400, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4)).astype(np.float32)
    found = distances(fitted(features, components=3), features)  # of four directions the last is the residual
    centred = features - features.mean(axis=0)
    inverse = np.linalg.inv(np.cov(centred.T, bias=True))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", centred, inverse, centred) / 4)
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(1, abs=0.01)


def test_fewer_images_than_features_are_enough() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(5, 200))
    draw = lambda count: rng.normal(size=(count, 5)) @ mixing + 0.1 * rng.normal(size=(count, 200))  # noqa: E731
    layer = fitted(draw(60).astype(np.float32), components=8)
    alike, shifted = distances(layer, draw(100)), distances(layer, draw(100) + rng.normal(size=200))
    assert np.median(alike) < 2
    assert shifted.min() > 2 * alike.max()


def test_features_that_never_vary_do_not_make_it_infinite() -> None:
    features = np.random.default_rng(2).normal(size=(30, 6)).astype(np.float32)
    features[:, 3:] = 0
    assert np.isfinite(distances(fitted(features, 2), features + 1)).all()
    assert np.isfinite(distances(fitted(np.zeros((5, 6), np.float32), 2), features)).all()


def test_it_is_stored_in_the_networks_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    network = build_classifier(32, TINY)
    images = np.random.default_rng(3).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    assert (network.predict_on_batch(images)["novelty"] == 0).all()  # not fitted yet
    head = novelty_head(network)
    width = head.get_layer("texture").output.shape[-1]
    head.get_layer("distance").fit(np.random.default_rng(4).normal(size=(20, width)).astype(np.float32))
    expected = network.predict_on_batch(images)["novelty"]
    assert (expected > 0).all()
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras").predict_on_batch(images)["novelty"]
    np.testing.assert_allclose(again, expected, rtol=1e-5)
