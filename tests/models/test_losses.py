from collections.abc import Callable

import keras
import numpy as np
import pytest

from busi_keras.models.losses import (
    binary_cross_entropy,
    cross_entropy,
    dice_and_boundary,
    dice_and_cross_entropy,
    dice_loss,
    misplaced_evidence,
)
from busi_keras.models.metrics import correct, image_dice, image_iou

pytestmark = pytest.mark.backends


def numpy(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def pixels(*images: list[float]) -> object:
    return keras.ops.convert_to_tensor(np.array(images, np.float32).reshape(len(images), 2, 2, 1))


def test_binary_cross_entropy_is_the_mean_over_pixels() -> None:
    loss = numpy(binary_cross_entropy(pixels([1, 0, 0, 0], [0, 0, 0, 0]), pixels([0, 0, 0, 0], [-2, -2, -2, -2])))
    np.testing.assert_allclose(loss, [np.log(2), np.log1p(np.exp(-2))], rtol=1e-5)


@pytest.mark.parametrize("loss", [binary_cross_entropy, dice_and_boundary])
def test_on_apples_processors_pytorch_gives_the_same(
    loss: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pixels([1, 0, 0, 0], [0, 1, 0, 1]), pixels([0.5, 0, 1, 0], [-2, -2, -2, -2])
    here = numpy(loss(*images))
    if keras.backend.backend() == "torch":
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    np.testing.assert_array_equal(numpy(loss(*images)), here)
    assert here.shape == (2,)


def test_dice_loss_is_0_for_a_sure_hit_and_near_1_for_a_sure_miss() -> None:
    sure = 40.0
    true = pixels([1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0])
    guessed = pixels([sure, sure, -sure, -sure], [-sure, -sure, sure, sure], [-sure] * 4)
    np.testing.assert_allclose(numpy(dice_loss(true, guessed)), [0, 1 - 1 / 5, 0], atol=1e-6)


def test_dice_and_cross_entropy_add_up() -> None:
    true, guessed = pixels([1, 0, 1, 0]), pixels([0.3, -1, 2, 0.5])
    total = numpy(dice_loss(true, guessed)) + numpy(binary_cross_entropy(true, guessed))
    np.testing.assert_allclose(numpy(dice_and_cross_entropy(true, guessed)), total, rtol=1e-6)


def test_a_mistake_near_the_boundary_costs_more_than_one_far_from_it() -> None:
    """At 64 px the window is 7 wide: two columns off the lesion it holds 2 columns of it, far off none."""
    true = np.zeros((3, 64, 64, 1), np.float32)
    true[:, 20:44, 20:44] = 1
    logits = np.where(true > 0, 20.0, -20.0).astype(np.float32)
    logits[1, 24:40, 45] = logits[2, 24:40, 60] = 20.0
    right, near, far = numpy(dice_and_boundary(*map(keras.ops.convert_to_tensor, (true, logits))))
    dice = 1 - (2 * 24**2 + 1) / (2 * 24**2 + 16 + 1)
    assert right == pytest.approx(0, abs=1e-5)
    assert (near - dice) / (far - dice) == pytest.approx(1 + 5 * 2 / 7, rel=1e-3)


def test_cross_entropy_is_weighed_by_class() -> None:
    labels = keras.ops.convert_to_tensor([0, 2], "int32")
    weights = keras.ops.convert_to_tensor([1.0, 1.0, 3.0])
    loss = numpy(cross_entropy(labels, keras.ops.zeros((2, 3)), weights))
    np.testing.assert_allclose(loss, [np.log(3), 3 * np.log(3)], rtol=1e-5)


def test_overlap_of_each_image_and_1_where_both_masks_are_empty() -> None:
    true = pixels([1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0])
    guessed = pixels([5, -5, 5, -5], [-1] * 4, [-1, -1, -1, 1])
    np.testing.assert_allclose(numpy(image_dice(true, guessed)), [0.5, 1, 0])
    np.testing.assert_allclose(numpy(image_iou(true, guessed)), [1 / 3, 1, 0], rtol=1e-6)


def test_correct_compares_the_largest_logit() -> None:
    logits = keras.ops.convert_to_tensor([[1.0, 0, 0], [0, 0, 1.0]])
    assert numpy(correct(keras.ops.convert_to_tensor([0, 1], "int32"), logits)).tolist() == [1, 0]


def test_evidence_beside_the_lesion_costs_and_the_same_everywhere_costs_as_chance_does() -> None:
    """A last map of 2 x 2 cells; the lesion touches the first of them."""
    masks = np.zeros((4, 64, 64, 1), np.float32)
    masks[:3, 20:30, 5:31] = 1
    evidence = np.zeros((4, 2, 2, 3), np.float32)
    evidence[..., 0] = 99  # of a class that is not the true one
    evidence[0, 0, 0, 1], evidence[1, 1, 1, 1], evidence[3, 1, 1, 2] = 10, 10, 10
    labels = keras.ops.convert_to_tensor([1, 1, 1, 2], "int32")
    loss = numpy(misplaced_evidence(keras.ops.convert_to_tensor(masks), labels, keras.ops.convert_to_tensor(evidence)))
    far = np.exp(10) + 3
    np.testing.assert_allclose(loss, [-np.log(np.exp(10) / far), np.log(far), np.log(4), 0], rtol=1e-3, atol=1e-6)
