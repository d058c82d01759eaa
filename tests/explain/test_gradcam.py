import keras
import numpy as np
import pytest

from busi_keras.errors import UsageError
from busi_keras.explain.closed_form import with_heat_map
from busi_keras.explain.gradcam import GradCam
from busi_keras.explain.gradients import gradient
from busi_keras.explain.heat_map import heat_maps
from busi_keras.explain.methods import METHODS
from busi_keras.imaging import resize
from busi_keras.models import build_classifier, build_multitask, build_two_stage, build_unet
from tests.lively import lively
from tests.tiny import TINY

pytestmark = pytest.mark.backends

SIZE = 64


def numpy(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def multitask() -> keras.Model:
    keras.utils.set_random_seed(5)
    return lively(build_multitask(SIZE, TINY, skips=True))


@pytest.fixture(scope="module")
def two_stage() -> keras.Model:
    """Its U-Net outlines some of each image, so that crops are real crops."""
    keras.utils.set_random_seed(6)
    unet = build_unet(SIZE, width=4)
    return lively(build_two_stage(unet, build_classifier(SIZE, TINY)))


def test_the_gradient_of_a_sum_of_squares_is_twice_the_point() -> None:
    point = np.float32([[1, -2], [0.5, 3]])
    found = gradient(lambda x: keras.ops.sum(x * x), keras.ops.convert_to_tensor(point))
    np.testing.assert_allclose(numpy(found), 2 * point)


@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 7, 7)])
def test_a_coarse_map_is_upsampled_as_an_image_is(shape: tuple[int, ...]) -> None:
    coarse = np.random.default_rng(1).uniform(0, 3, shape).astype(np.float32)
    found = numpy(heat_maps(keras.ops.convert_to_tensor(coarse), None, SIZE))
    for one, source in zip(found, coarse, strict=True):
        np.testing.assert_allclose(one, resize(source / source.max(), SIZE, SIZE), atol=1e-5)


@pytest.mark.parametrize(("spread", "flat"), [(0.0, True), (0.04, True), (0.5, False)])
@pytest.mark.parametrize("largest", [1e-9, 1.0, 1e6])
def test_evidence_that_is_about_the_same_everywhere_is_a_flat_map(largest: float, spread: float, flat: bool) -> None:
    coarse = np.random.default_rng(2).uniform(1 - spread, 1, (1, 4, 4)).astype(np.float32) * np.float32(largest)
    found = numpy(heat_maps(keras.ops.convert_to_tensor(coarse), None, SIZE))[0]
    assert found.any() != flat
    assert np.isfinite(found).all()


def test_a_map_of_a_crop_lies_in_its_place() -> None:
    coarse = np.float32([[[1, 0], [0, 0]]])
    squares = keras.ops.convert_to_tensor(np.float32([[16, 32, 32]]))
    found = numpy(heat_maps(keras.ops.convert_to_tensor(coarse), squares, SIZE))[0]
    np.testing.assert_allclose(found[16:48, 32:64], resize(coarse[0], 32, 32), atol=1e-5)
    found[16:48, 32:64] = 0
    assert not found.any()


@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
def test_the_map_of_a_class_is_its_weights_over_the_last_map(
    method: str, multitask: keras.Model, images: np.ndarray
) -> None:
    maps = GradCam(multitask, method).of_class(images, np.array([0, 1, 2]))
    features = numpy(multitask.get_layer("encoder")(images, training=False)[-1])
    kernel = multitask.get_layer("label_head").get_layer("logits").get_weights()[0]
    for heat_map, feature, label in zip(maps, features, (0, 1, 2), strict=True):
        closed = np.maximum(feature @ kernel[:, label], 0)
        assert heat_map.flat == (closed.max() == 0)
        np.testing.assert_allclose(heat_map.values, resize(closed / max(closed.max(), 1e-9), SIZE, SIZE), atol=1e-4)
    assert sum(not heat_map.flat for heat_map in maps) >= 1


@pytest.mark.parametrize("name", ["multitask", "two_stage"])
def test_a_served_network_gives_the_gradients_map_without_gradients(
    name: str, images: np.ndarray, request: pytest.FixtureRequest
) -> None:
    network = request.getfixturevalue(name)
    served = with_heat_map(network).predict_on_batch(images)
    logits = network.predict_on_batch(images)
    np.testing.assert_allclose(served["probabilities"], numpy(keras.ops.softmax(logits["label"])), atol=1e-5)
    np.testing.assert_allclose(served["mask"], numpy(keras.ops.sigmoid(logits["mask"]))[..., 0], atol=1e-5)
    maps = GradCam(network).of_class(images, served["probabilities"].argmax(axis=-1))
    assert any(not heat_map.flat for heat_map in maps)
    for heat_map, closed in zip(maps, served["heatmap"], strict=True):
        np.testing.assert_allclose(closed, heat_map.values, atol=1e-4)


def test_the_methods_weigh_as_their_papers_say() -> None:
    rng = np.random.default_rng(2)
    activations = rng.uniform(0, 1, (1, 2, 2, 3)).astype(np.float32)
    gradients = rng.normal(size=(1, 2, 2, 3)).astype(np.float32)
    weigh = {
        name: numpy(method(*map(keras.ops.convert_to_tensor, (activations, gradients))))
        for name, method in METHODS.items()
    }
    np.testing.assert_allclose(weigh["gradcam"][0, 0, 0], gradients.mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(weigh["hirescam"], gradients)
    alpha = gradients**2 / (2 * gradients**2 + activations.sum(axis=(1, 2), keepdims=True) * gradients**3)
    expected = (alpha * np.maximum(gradients, 0)).sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(weigh["gradcam++"], expected, rtol=1e-4)


def test_the_map_of_a_mask_follows_what_the_mask_hangs_on(images: np.ndarray) -> None:
    """The coarse map of a U-Net whose decoder adds nothing but its deepest map."""
    keras.utils.set_random_seed(7)
    network = build_unet(SIZE, width=4)
    maps = GradCam(network).of_lesion(images)
    encoder, head = network.get_layer("encoder"), network.get_layer("mask_head")
    *skips, last = [numpy(feature) for feature in encoder(images, training=False)]
    inside = keras.ops.cast(head([*skips, last], training=False) > 0, "float32")
    step = 1e-2
    weights = np.zeros(last.shape[-1])
    for channel in range(last.shape[-1]):  # the mean gradient of a channel, by shifting the whole channel
        shift = np.zeros((1, 1, 1, last.shape[-1]), np.float32)
        shift[..., channel] = step
        up, down = (
            numpy(keras.ops.sum(head([*skips, last + sign * shift], training=False)[:1] * inside[:1]))
            for sign in (1, -1)
        )
        weights[channel] = (up - down) / (2 * step)
    closed = np.maximum(last[0] @ weights, 0)
    found = maps[0].values
    expected = resize(closed / closed.max(), SIZE, SIZE)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95


def test_a_mask_without_a_lesion_has_a_flat_map(images: np.ndarray) -> None:
    network = build_unet(SIZE, width=4)
    logits = network.get_layer("mask_head").get_layer("logits")
    logits.set_weights([np.zeros_like(logits.get_weights()[0]), np.float32([-1])])
    assert all(heat_map.flat for heat_map in GradCam(network).of_lesion(images))


def test_a_class_without_evidence_has_a_flat_map() -> None:
    network = build_classifier(SIZE, TINY)
    head = network.get_layer("label_head").get_layer("logits")
    head.set_weights([-np.ones_like(head.get_weights()[0]), head.get_weights()[1]])
    heat_map = GradCam(network).of_class(np.full((1, SIZE, SIZE, 3), 90, np.float32), np.array([0]))[0]
    assert heat_map.flat
    assert heat_map.values.max() == 0


def test_the_map_of_a_two_stage_network_without_a_lesion_is_the_classifiers(images: np.ndarray) -> None:
    keras.utils.set_random_seed(6)
    unet = build_unet(SIZE, width=4)
    logits = unet.get_layer("mask_head").get_layer("logits")
    logits.set_weights([np.zeros_like(logits.get_weights()[0]), np.float32([-1])])
    network = lively(build_two_stage(unet, build_classifier(SIZE, TINY)))
    whole = GradCam(network).of_class(images, np.array([0, 0, 0]))
    direct = GradCam(network.get_layer("classifier")).of_class(images, np.array([0, 0, 0]))
    for one, other in zip(whole, direct, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-3)


def test_the_lesions_map_of_a_two_stage_network_is_its_segmenters(images: np.ndarray) -> None:
    keras.utils.set_random_seed(8)
    unet, classifier = build_unet(SIZE, width=4), build_classifier(SIZE, TINY)
    classifier.get_layer("label_head").get_layer("logits").bias.assign([0.0, 0.0, -20.0])  # surely no normal image
    network = build_two_stage(unet, classifier)
    found, direct = GradCam(network).of_lesion(images), GradCam(unet).of_lesion(images)
    assert any(not heat_map.flat for heat_map in direct)
    for one, other in zip(found, direct, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-4)


def test_what_a_network_cannot_show_is_refused(images: np.ndarray) -> None:
    network = build_unet(SIZE, width=4)
    with pytest.raises(UsageError, match="has no label head"):
        GradCam(network).of_class(images, np.array([0, 0, 0]))
    with pytest.raises(UsageError, match=r"--method is lime; it must be one of gradcam, gradcam\+\+, hirescam"):
        GradCam(network, "lime")
