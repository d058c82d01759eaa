import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from busi_keras.evaluation.lesions import Lesion, find_lesions

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def test_a_box_gives_x_before_y_and_an_exclusive_end() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 7:13] = True
    assert find_lesions(mask) == [Lesion(box=(7, 2, 13, 5), area_px=18)]


def test_an_empty_mask_has_no_lesion_and_a_full_one_has_one() -> None:
    assert find_lesions(np.zeros((4, 6), bool)) == []
    assert find_lesions(np.ones((4, 6), bool)) == [Lesion((0, 0, 6, 4), 24)]


def test_lesions_come_largest_first_and_equal_ones_from_the_left() -> None:
    mask = drawn(
        "......#.",
        "##......",
        "......##",
        "..#...##",
    )
    assert find_lesions(mask) == [
        Lesion((6, 2, 8, 4), 4),
        Lesion((0, 1, 2, 2), 2),
        Lesion((2, 3, 3, 4), 1),
        Lesion((6, 0, 7, 1), 1),
    ]


def test_pixels_that_touch_at_a_corner_are_one_lesion() -> None:
    assert find_lesions(drawn("#..", ".#.", "..#")) == [Lesion((0, 0, 3, 3), 3)]
    assert len(find_lesions(drawn("#.#", "...", "#.#"))) == 4


@given(masks)
def test_areas_sum_to_the_mask_and_boxes_are_tight(mask: np.ndarray) -> None:
    lesions = find_lesions(mask)
    assert sum(lesion.area_px for lesion in lesions) == mask.sum()
    assert [lesion.area_px for lesion in lesions] == sorted((lesion.area_px for lesion in lesions), reverse=True)
    for x0, y0, x1, y1 in (lesion.box for lesion in lesions):
        inside = mask[y0:y1, x0:x1]
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


@given(masks, st.integers(0, 3), st.integers(0, 3))
def test_a_shifted_mask_has_shifted_boxes(mask: np.ndarray, down: int, right: int) -> None:
    shifted = np.pad(mask, ((down, 1), (right, 1)))
    assert find_lesions(shifted) == [
        Lesion((x0 + right, y0 + down, x1 + right, y1 + down), lesion.area_px)
        for lesion in find_lesions(mask)
        for x0, y0, x1, y1 in [lesion.box]
    ]
