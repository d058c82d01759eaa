import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from busi_keras.export.graph_letterbox import GraphLetterbox
from busi_keras.imaging import Letterbox

SIZE = 32


@tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((SIZE, SIZE), tf.float32)])
def there_and_back(image: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    box = GraphLetterbox.of(image, SIZE)
    return box.apply(image, SIZE), box.invert(values)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120), st.integers(1, 120), st.integers(0, 2**31))
@example(1, 500, 0)
@example(3000, 2, 0)
@example(1, 1, 0)
def test_an_image_of_any_size_goes_into_the_square_and_back_as_outside_the_graph(
    height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    values = rng.uniform(0, 1, (SIZE, SIZE)).astype(np.float32)
    box = Letterbox.of(image, SIZE)
    square, own = (tensor.numpy() for tensor in there_and_back(tf.constant(image), tf.constant(values)))
    np.testing.assert_allclose(square, box.apply(image), atol=0.01)
    assert own.shape == (height, width, 1)
    np.testing.assert_allclose(own[..., 0], box.invert(values), atol=1e-4)


def test_an_image_of_a_square_is_not_padded() -> None:
    image = np.full((7, 7, 3), 200, np.uint8)
    square, _ = there_and_back(tf.constant(image), tf.zeros((SIZE, SIZE)))
    assert square.numpy().min() == pytest.approx(200, abs=0.01)
