import numpy as np
import pytest

from busi_keras.evaluation.detection import Detection, detect
from busi_keras.evaluation.surface import surface_distance


def square(y: int, x: int, side: int, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_equal_masks_lie_on_each_other() -> None:
    found = surface_distance(square(10, 10, 20), square(10, 10, 20))
    assert (found.hd95_px, found.average_px, found.diagonal_px) == (0, 0, 100)


def test_a_shift_is_as_far_as_it_shifts() -> None:
    found = surface_distance(square(10, 10, 20), square(10, 15, 20))
    assert found.hd95_px == pytest.approx(5)
    assert 0 < found.average_px < 5


def test_distances_are_symmetric_and_a_stray_pixel_hardly_counts() -> None:
    lesion, stray = square(10, 10, 30), square(10, 10, 30)
    stray[55, 75] = True
    there, back = surface_distance(lesion, stray), surface_distance(stray, lesion)
    assert there == back
    assert there.hd95_px == 0


def test_an_empty_mask_has_no_outline() -> None:
    assert surface_distance(square(10, 10, 20), np.zeros((60, 80), bool)) is None


def test_lesions_are_found_one_by_one() -> None:
    true = square(5, 5, 10) | square(30, 30, 10) | square(5, 60, 10)
    predicted = square(6, 6, 10) | square(32, 39, 10) | square(45, 5, 6)
    assert detect(true, predicted) == Detection(lesions=3, found=1, false_finds=2)


def test_one_find_covers_one_lesion() -> None:
    true = square(5, 5, 10) | square(5, 16, 10)
    both = np.zeros_like(true)
    both[5:15, 5:26] = True
    assert detect(true, both) == Detection(lesions=2, found=1, false_finds=0)


def test_nothing_to_find_and_nothing_found() -> None:
    empty = np.zeros((60, 80), bool)
    assert detect(empty, empty) == Detection(0, 0, 0)
    assert detect(empty, square(5, 5, 10)) == Detection(0, 0, 1)
    assert detect(square(5, 5, 10), empty) == Detection(1, 0, 0)
