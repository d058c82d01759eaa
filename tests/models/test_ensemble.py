import json

import keras
import numpy as np
import pytest

from busi_keras.explain.closed_form import with_heat_map
from busi_keras.explain.gradcam import GradCam
from busi_keras.models import build_multitask, join
from busi_keras.models.temperature import set_temperature
from tests.tiny import TINY

pytestmark = pytest.mark.backends

SIZE = 64


def numpy(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def members() -> list[keras.Model]:
    keras.utils.set_random_seed(1)
    members = [build_multitask(SIZE, TINY) for _ in range(2)]
    for number, member in enumerate(members):
        bias = np.array([0.5, -0.2, 0.1 * number], np.float32)
        member.get_layer("label_head").get_layer("logits").bias.assign(bias)
    return members


def test_logits_are_the_means_of_the_members(members: list[keras.Model], images: np.ndarray) -> None:
    found = join(members).predict_on_batch(images)
    labels = [member.predict_on_batch(images)["label"] for member in members]
    masks = [
        numpy(member.get_layer("mask_head")(member.get_layer("encoder")(images, training=False), training=False))
        for member in members
    ]
    assert np.std(labels, axis=0).max() > 0.01
    assert np.std(masks, axis=0).max() > 0.01
    label = np.mean(labels, axis=0)
    np.testing.assert_allclose(found["label"], label, atol=1e-4)
    present = np.logaddexp(label[:, 0], label[:, 1]) - label[:, 2]
    np.testing.assert_allclose(
        found["mask"], np.minimum(np.mean(masks, axis=0), present[:, None, None, None]), atol=1e-4
    )


def test_an_ensemble_is_stored_under_names_that_keras_promises(members: list[keras.Model]) -> None:
    assert "keras.src.ops" not in json.dumps(keras.saving.serialize_keras_object(join(members)))


def test_an_ensemble_is_calibrated_and_explained_as_one_network(members: list[keras.Model], images: np.ndarray) -> None:
    ensemble = join(members)
    before = ensemble.predict_on_batch(images)["label"]
    set_temperature(ensemble, 2.0)
    np.testing.assert_allclose(ensemble.predict_on_batch(images)["label"], before / 2, atol=1e-5)
    served = with_heat_map(ensemble).predict_on_batch(images)
    maps = GradCam(ensemble).of_class(images, served["probabilities"].argmax(axis=-1))
    assert any(not heat_map.flat for heat_map in maps)
    for heat_map, closed in zip(maps, served["heatmap"], strict=True):
        np.testing.assert_allclose(closed, heat_map.values, atol=1e-4)


def test_an_ensemble_of_one_is_that_one(members: list[keras.Model], images: np.ndarray) -> None:
    expected = members[0].predict_on_batch(images)
    found = join(members[:1]).predict_on_batch(images)
    for task in ("mask", "label"):
        np.testing.assert_allclose(found[task], expected[task], atol=1e-5)
