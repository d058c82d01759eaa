import keras
import numpy as np
import pytest
from scipy import ndimage

from busi_keras.models.sampling import affine_coordinates, sample_bilinear
from busi_keras.models.two_stage import CropLesion, crop_squares, mask_boxes

pytestmark = pytest.mark.backends

SIZE = 32


def logits_of(*boxes: tuple[int, int, int, int] | None) -> np.ndarray:
    logits = np.full((len(boxes), SIZE, SIZE, 1), -3.0, np.float32)
    for image, box in zip(logits, boxes, strict=True):
        if box:
            y0, x0, y1, x1 = box
            image[y0:y1, x0:x1] = 2.0
    return logits


def numpy(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def test_boxes_of_masks_end_after_the_last_pixel_and_an_empty_mask_means_the_whole_image() -> None:
    boxes = mask_boxes(keras.ops.convert_to_tensor(logits_of((3, 5, 10, 9), None, (0, 0, 1, 1), (0, 0, 32, 32))))
    assert numpy(boxes).tolist() == [[3, 5, 10, 9], [0, 0, 32, 32], [0, 0, 1, 1], [0, 0, 32, 32]]


def test_squares_have_a_margin_a_least_side_and_stay_inside() -> None:
    boxes = keras.ops.convert_to_tensor([[10, 12, 18, 16], [0, 0, 1, 1], [28, 28, 32, 32], [2, 2, 30, 30]], "float32")
    y, x, side = numpy(crop_squares(boxes, SIZE)).T
    assert side.tolist() == [12, 8, 8, 32]  # 8 with a quarter more on both sides; never below a quarter of 32
    assert (y[0], x[0]) == (8, 8)
    assert (y >= 0).all()
    assert (x + side <= SIZE).all()


def test_an_empty_mask_leaves_the_image_as_it_is() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (1, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(numpy(CropLesion()(image, logits_of(None))), image, atol=1e-3)


def test_the_crop_shows_the_lesion_and_nothing_else() -> None:
    image = np.zeros((1, SIZE, SIZE, 3), np.float32)
    image[:, 8:20, 8:20] = 100.0
    crop = numpy(CropLesion()(image, logits_of((10, 10, 18, 18))))
    assert crop.shape == image.shape
    assert crop[0, 2:-2, 2:-2].min() == pytest.approx(100, abs=0.1)


def test_sampling_agrees_with_scipy_inside_and_outside_the_image() -> None:
    rng = np.random.default_rng(3)
    images = rng.uniform(0, 255, (2, SIZE, SIZE, 2)).astype(np.float32)
    coordinates = rng.uniform(-4, SIZE + 3, (2, SIZE, SIZE, 2)).astype(np.float32)
    sampled = numpy(sample_bilinear(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(coordinates)))
    for image, where, found in zip(images, coordinates, sampled, strict=True):
        for channel in range(2):
            expected = ndimage.map_coordinates(
                image[..., channel], np.moveaxis(where, -1, 0), order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(found[..., channel], expected, atol=2e-2)


def test_affine_coordinates_follow_rows_of_y_and_x() -> None:
    transform = keras.ops.convert_to_tensor([[[2.0, 0.0, 1.0], [0.0, -1.0, 7.0]]])
    coordinates = numpy(affine_coordinates(transform, 8))
    assert coordinates[0, 3, 2].tolist() == [7.0, 5.0]
