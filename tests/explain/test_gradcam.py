import keras
import numpy as np
import pytest

from busi_keras.explain.gradcam import gradcam
from busi_keras.explain.gradients import value_gradient
from busi_keras.imaging import resize
from busi_keras.models import build_classifier, build_multitask, build_two_stage, build_unet

pytestmark = pytest.mark.backends

SIZE = 64


def test_the_gradient_of_a_sum_of_squares_is_twice_the_point() -> None:
    point = np.float32([[1, -2], [0.5, 3]])
    gradient = value_gradient(lambda x: keras.ops.sum(x * x), keras.ops.convert_to_tensor(point))
    np.testing.assert_allclose(gradient, 2 * point)


def test_the_map_has_the_closed_form_of_pooling_and_a_dense_layer() -> None:
    keras.utils.set_random_seed(5)
    network = build_multitask(SIZE, "resnet50")
    images = np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)
    classes = np.array([0, 1, 2])
    maps = gradcam(network, images, classes)

    features = keras.ops.convert_to_numpy(network.get_layer("encoder")(images, training=False)[-1])
    kernel = network.get_layer("label_head").get_layer("logits").get_weights()[0]
    for heat_map, feature, label in zip(maps, features, classes, strict=True):
        closed = np.maximum(feature @ kernel[:, label], 0)
        assert heat_map.flat == (closed.max() == 0)
        np.testing.assert_allclose(heat_map.values, resize(closed / max(closed.max(), 1e-9), SIZE, SIZE), atol=1e-4)
    assert sum(not heat_map.flat for heat_map in maps) >= 1


def test_a_map_without_evidence_is_flat() -> None:
    network = build_classifier(SIZE, "mobilenet-v2")
    head = network.get_layer("label_head").get_layer("logits")
    head.set_weights([-np.ones_like(head.get_weights()[0]), head.get_weights()[1]])
    heat_map = gradcam(network, np.full((1, SIZE, SIZE, 3), 90, np.float32), np.array([0]))[0]
    assert heat_map.flat
    assert heat_map.values.max() == 0


def test_the_map_of_a_two_stage_network_lies_in_its_crop() -> None:
    keras.utils.set_random_seed(6)
    unet = build_unet(SIZE, width=4)
    logits = unet.get_layer("mask_head").get_layer("logits")
    logits.set_weights([np.zeros_like(logits.get_weights()[0]), np.float32([-1])])
    network = build_two_stage(unet, build_classifier(SIZE, "resnet50"))
    images = np.random.default_rng(1).uniform(0, 255, (1, SIZE, SIZE, 3)).astype(np.float32)
    whole = gradcam(network, images, np.array([0]))[0].values
    direct = gradcam(network.get_layer("classifier"), images, np.array([0]))[0].values
    np.testing.assert_allclose(whole, direct, atol=1e-3)
