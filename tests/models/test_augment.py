import keras
import numpy as np
import pytest

from busi_keras.models.augment import augment, draw_augmentation

pytestmark = pytest.mark.backends

SIZE = 48


def disc(radius: float = 10, centre: tuple[float, float] = (20, 26)) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return (((y - centre[0]) ** 2 + (x - centre[1]) ** 2) < radius**2).astype(np.float32)


def batch(count: int) -> tuple[np.ndarray, np.ndarray]:
    masks = np.repeat(disc()[None, ..., None], count, axis=0)
    return np.repeat(40 + 100 * masks, 3, axis=-1), masks


def apply(images: np.ndarray, masks: np.ndarray, drawn: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    tensors = {name: keras.ops.convert_to_tensor(values) for name, values in drawn.items()}
    moved = augment(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(masks), tensors)
    return keras.ops.convert_to_numpy(moved[0]), keras.ops.convert_to_numpy(moved[1])


def test_at_strength_0_nothing_happens() -> None:
    images, masks = batch(2)
    drawn = draw_augmentation(np.random.default_rng(0), 2, SIZE, strength=0)
    moved, moved_masks = apply(images, masks, drawn)
    np.testing.assert_allclose(moved, images, atol=1e-2)
    np.testing.assert_array_equal(moved_masks, masks)


def test_image_and_mask_move_together() -> None:
    images, masks = batch(16)
    drawn = draw_augmentation(np.random.default_rng(1), 16, SIZE)
    drawn["tone"] = np.tile(np.float32([1, 1, 0]), (16, 1))
    moved, moved_masks = apply(images, masks, drawn)
    bright = moved[..., :1] > 90
    agreement = (bright == (moved_masks > 0)).mean(axis=(1, 2, 3))
    assert agreement.min() > 0.97
    assert set(np.unique(moved_masks)) == {0.0, 1.0}
    assert np.abs(moved_masks - masks).mean(axis=(1, 2, 3)).min() > 0.005


def test_half_of_the_images_are_flipped_left_right_and_none_upside_down() -> None:
    linear = draw_augmentation(np.random.default_rng(2), 400, SIZE)["transform"][:, :, :2]
    assert (linear[:, 0, 0] > 0).all()
    assert 0.42 < (linear[:, 1, 1] < 0).mean() < 0.58
    stronger = draw_augmentation(np.random.default_rng(2), 400, SIZE, strength=2)["transform"][:, :, :2]
    assert 0.42 < (stronger[:, 1, 1] < 0).mean() < 0.58


def test_scaling_keeps_the_aspect() -> None:
    linear = draw_augmentation(np.random.default_rng(3), 100, SIZE)["transform"][:, :, :2]
    lengths = np.linalg.norm(linear, axis=1)
    np.testing.assert_allclose(lengths[:, 0], lengths[:, 1], rtol=1e-5)
    assert lengths.min() > 0.8
    assert lengths.max() < 1.25


def test_values_stay_in_range_and_padding_stays_black() -> None:
    rng = np.random.default_rng(4)
    images = rng.uniform(0, 255, (8, SIZE, SIZE, 3)).astype(np.float32)
    images[:, :10] = 0
    masks = np.zeros((8, SIZE, SIZE, 1), np.float32)
    drawn = draw_augmentation(rng, 8, SIZE)
    drawn["transform"] = np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (8, 1, 1))
    drawn["bend"] *= 0
    moved, moved_masks = apply(images, masks, drawn)
    assert moved.min() == 0
    assert moved.max() <= 255
    assert moved[:, :10].max() == 0
    assert moved_masks.max() == 0
    assert np.abs(moved - images)[:, 10:].mean(axis=(1, 2, 3)).min() > 2


def test_the_same_generator_draws_the_same_numbers() -> None:
    first = draw_augmentation(np.random.default_rng([7, 3]), 4, SIZE)
    again = draw_augmentation(np.random.default_rng([7, 3]), 4, SIZE)
    other = draw_augmentation(np.random.default_rng([7, 4]), 4, SIZE)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert np.abs(values - other[name]).max() > 0


def test_a_box_is_cropped_as_the_two_stage_model_crops_it() -> None:
    images, masks = batch(1)
    drawn = draw_augmentation(np.random.default_rng(0), 1, SIZE, strength=0)
    drawn["box"] = np.float32([[10, 16, 30, 36]])
    moved, moved_masks = apply(images, masks, drawn)
    assert moved_masks.mean() == pytest.approx(np.pi * 10**2 / 30**2, abs=0.03)
    assert moved[0, SIZE // 2, SIZE // 2, 0] == pytest.approx(140, abs=1)
