"""`imaging.Letterbox` inside the TensorFlow graph: the same numbers, within rounding."""

from typing import NamedTuple

import tensorflow as tf


class GraphLetterbox(NamedTuple):
    """The map between one image, or a batch of them, and the network's square input; a structure that `map_fn` takes.

    Attributes:
        shape: int32 `(2,)`: the image's own height and width in pixels.
        corner: int32 `(2,)`: where the image begins in the square.
        scaled: int32 `(2,)`: its height and width in the square.
    """

    shape: tf.Tensor
    corner: tf.Tensor
    scaled: tf.Tensor

    @classmethod
    def of(cls, image: tf.Tensor, size: int) -> "GraphLetterbox":
        """The map of an image `(height, width, channels)` into a square of that size."""
        shape = tf.shape(image)[:2]
        sides, longest = tf.cast(shape, tf.int64), tf.cast(tf.reduce_max(shape), tf.int64)
        scaled = tf.cast(tf.maximum(tf.constant(1, tf.int64), (2 * sides * size + longest) // (2 * longest)), tf.int32)
        return cls(shape, (size - scaled) // 2, scaled)

    @classmethod
    def spec(cls) -> "GraphLetterbox":
        """What `map_fn` has to know."""
        return cls(*3 * [tf.TensorSpec((2,), tf.int32)])

    def apply(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """An image `(height, width, 3)` into float32 `(size, size, 3)`."""
        pixels = tf.image.resize(tf.cast(image, tf.float32), self.scaled, antialias=True)
        after = size - self.scaled - self.corner
        square = tf.pad(pixels, [[self.corner[0], after[0]], [self.corner[1], after[1]], [0, 0]])
        return tf.ensure_shape(square, (size, size, 3))

    def invert(self, square: tf.Tensor) -> tf.Tensor:
        """Values `(S, S)` of the square into float32 `(height, width, 1)` at the image's own size."""
        window = tf.slice(square[..., None], [*tf.unstack(self.corner), 0], [*tf.unstack(self.scaled), 1])
        return tf.image.resize(window, self.shape, antialias=True)
