import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busi_keras.data.phantom import make_phantom
from busi_keras.imaging import Letterbox, resize

sides = st.integers(1, 1000)
sizes = st.sampled_from([32, 64, 224])


@given(sides, sides, sizes)
def test_the_window_lies_inside_the_square_and_keeps_the_aspect_ratio(height: int, width: int, size: int) -> None:
    box = Letterbox(height, width, size)
    rows, columns = box.window
    assert 0 <= rows.start < rows.stop <= size
    assert 0 <= columns.start < columns.stop <= size
    assert max(box.scaled_height, box.scaled_width) == size
    scale = size / max(height, width)
    for scaled, side in ((box.scaled_height, height), (box.scaled_width, width)):
        assert abs(scaled - max(1, side * scale)) <= 0.5
    for window in (rows, columns):
        assert abs(window.start - (size - window.stop)) <= 1


@settings(max_examples=25, deadline=None)
@given(sides, sides, st.sampled_from([32, 224]), st.integers(0, 255))
def test_a_constant_image_stays_constant_with_zeros_around(height: int, width: int, size: int, level: int) -> None:
    box = Letterbox(height, width, size)
    square = box.apply(np.full((height, width), level, np.uint8))
    assert (square.dtype, square.shape) == (np.float32, (size, size))
    np.testing.assert_allclose(square[box.window], level, atol=1e-3)
    outside = np.ones((size, size), bool)
    outside[box.window] = False
    assert not square[outside].any()


@settings(max_examples=25, deadline=None)
@given(sides, st.integers(50, 1000), st.booleans(), st.sampled_from([64, 224]))
def test_a_smooth_image_survives_the_way_there_and_back(one: int, other: int, upright: bool, size: int) -> None:
    height, width = (one, other) if upright else (other, one)
    row, column = np.mgrid[:height, :width]
    scale = np.pi / max(height, width)
    pixels = (127 + 60 * np.sin(scale * row) + 60 * np.cos(scale * column)).astype(np.float32)
    box = Letterbox.of(pixels, size)
    back = box.invert(box.apply(pixels))
    assert (back.dtype, back.shape) == (np.float32, pixels.shape)
    assert np.abs(back - pixels).mean() < 1


@settings(max_examples=25, deadline=None)
@given(st.integers(100, 800), st.integers(100, 800), st.floats(0.15, 0.4), st.floats(0.15, 0.4))
def test_a_mask_survives_the_way_there_and_back(height: int, width: int, tall: float, wide: float) -> None:
    row, column = np.mgrid[:height, :width]
    mask = ((row / height - 0.5) / tall) ** 2 + ((column / width - 0.5) / wide) ** 2 < 1
    box = Letterbox.of(mask, 224)
    square = box.apply_to_mask(mask)
    assert (square.dtype, square.shape) == (np.bool_, (224, 224))
    back = box.invert(square) >= 0.5
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.95


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (1, 1), (2, 700)])
def test_an_image_one_pixel_wide_keeps_a_pixel(shape: tuple[int, int]) -> None:
    box = Letterbox(*shape, 224)
    square = box.apply(np.full(shape, 200, np.uint8))
    assert square.max() == pytest.approx(200)
    assert np.count_nonzero(square) == box.scaled_height * box.scaled_width >= 224
    np.testing.assert_allclose(box.invert(square), 200, rtol=1e-5)


def test_a_scaled_image_stands_in_the_middle() -> None:
    assert Letterbox(300, 600, 224).window == (slice(56, 168), slice(0, 224))
    assert Letterbox(600, 300, 224).window == (slice(0, 224), slice(56, 168))
    assert Letterbox(500, 500, 224).window == (slice(0, 224), slice(0, 224))


def test_halving_averages_with_a_triangle() -> None:
    np.testing.assert_allclose(resize(np.array([[0, 0, 0, 80, 0, 0, 0, 0]], np.uint8), 1, 4), [[0, 30, 10, 0]])


@pytest.mark.parametrize(
    ("height", "width", "size"), [(471, 562, 224), (719, 310, 224), (190, 1048, 256), (50, 40, 224), (17, 300, 64)]
)
def test_tensorflow_resamples_to_the_same_numbers(height: int, width: int, size: int) -> None:
    tf = pytest.importorskip("tensorflow")
    scan = np.repeat(make_phantom(0, 0, 0, height, width).image[..., None], 3, axis=-1)
    noise = np.random.default_rng(0).integers(0, 256, scan.shape, np.uint8)
    for pixels, tolerance in ((scan, 1e-3), (noise, 1e-2)):  # TensorFlow computes the filter's weights in float32
        box = Letterbox.of(pixels, size)
        ours = resize(pixels, box.scaled_height, box.scaled_width)
        theirs = tf.image.resize(pixels.astype(np.float32), ours.shape[:2], antialias=True).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
        back = tf.image.resize(theirs, (height, width), antialias=True).numpy()
        np.testing.assert_allclose(box.invert(box.apply(pixels)), back, rtol=0, atol=tolerance)
