import keras
import numpy as np
import pytest

from busi_keras.explain.gradcam import Features, GradCam, HeatMap
from busi_keras.explain.randomization import Randomization, random_head
from busi_keras.models import build_classifier
from tests.tiny import TINY

SIZE = 64


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(9)
    return build_classifier(SIZE, "mobilenet-v2")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)


def test_a_random_head_is_as_wide_and_always_the_same(network: keras.Model) -> None:
    head = network.get_layer("label_head")
    kernel = head.get_layer("logits").get_weights()[0]
    drawn = random_head(head, seed=1).get_layer("logits").get_weights()[0]
    assert drawn.std() == pytest.approx(kernel.std(), rel=0.1)
    assert abs(np.corrcoef(drawn.ravel(), kernel.ravel())[0, 1]) < 0.1
    np.testing.assert_array_equal(drawn, random_head(head, seed=1).get_layer("logits").get_weights()[0])
    np.testing.assert_array_equal(kernel, head.get_layer("logits").get_weights()[0])


def test_maps_that_hang_on_the_head_change_with_it(network: keras.Model, images: np.ndarray) -> None:
    found = Randomization(GradCam(network)).correlations(images, np.array([0, 1]))
    assert len(found) == 2
    assert all(-1 <= value < 0.9 for value in found)


def test_of_a_two_stage_network_only_the_crops_count(images: np.ndarray) -> None:
    """Two maps that have nothing in common but the zeros around a small crop."""

    class TwoCrops(GradCam):
        def __init__(self) -> None:
            self._rng = np.random.default_rng(3)

        label_head = build_classifier(32, TINY).get_layer("label_head")

        def with_label_head(self, label_head: keras.Model) -> GradCam:
            return self

        def features(self, images: np.ndarray) -> Features:
            return {"squares": np.tile(np.float32([[8, 20, 24]]), (len(images), 1))}

        def of_features(self, seen: Features, classes: np.ndarray) -> list[HeatMap]:
            maps = np.zeros((len(classes), SIZE, SIZE), np.float32)
            maps[:, 8:32, 20:44] = self._rng.uniform(0.1, 1, (len(classes), 24, 24))
            return [HeatMap(one, flat=False) for one in maps]

    found = Randomization(TwoCrops()).correlations(images, np.array([0, 1]))
    assert found == pytest.approx([0, 0], abs=0.1)


def test_maps_that_ignore_the_head_stay(network: keras.Model, images: np.ndarray) -> None:
    class Ignoring(GradCam):
        def with_label_head(self, label_head: keras.Model) -> "GradCam":
            return self

    cam = Ignoring(network)
    classes = np.array(
        [next(c for c in range(3) if not cam.of_class(images[i : i + 1], np.array([c]))[0].flat) for i in (0, 1)]
    )
    assert Randomization(cam).correlations(images, classes) == pytest.approx([1, 1])
