"""From a coarse map of evidence to a heat map on the network's input, in `keras.ops`: the same in every format."""

from keras import ops

from busi_keras.models.sampling import Tensor

FLAT = 0.05
"""Of a map's largest value: where its values differ by less, it says nothing about where the evidence lies."""


def heat_maps(coarse: Tensor, squares: Tensor | None, size: int) -> Tensor:
    """Coarse maps scaled to a largest value of 1, upsampled bilinearly and put in their places.

    Args:
        coarse: float32 `(batch, h, h)`, not negative.
        squares: float32 `(batch, 3)`, y, x and side in pixels: which part of the image each map shows; None for all.
        size: S, side of the image in pixels.

    Returns:
        float32 `(batch, S, S)` in [0, 1], 0 outside the squares; all 0 where the coarse map is flat: 0, or about the
        same everywhere. Smoothing may lower the largest value below 1.
    """
    top, low = ops.max(coarse, axis=(1, 2), keepdims=True), ops.min(coarse, axis=(1, 2), keepdims=True)
    says_where = top - low > FLAT * top
    scaled = ops.where(says_where, coarse / ops.where(says_where, top, 1.0), 0.0)
    if squares is None:
        squares = ops.convert_to_tensor([[0.0, 0.0, float(size)]])
    count = coarse.shape[1]
    rows = _bilinear(squares[:, 0:1], squares[:, 2:3], count, size)
    columns = _bilinear(squares[:, 1:2], squares[:, 2:3], count, size)
    return ops.matmul(ops.matmul(rows, scaled), ops.transpose(columns, (0, 2, 1)))


def _bilinear(corner: Tensor, side: Tensor, count: int, size: int) -> Tensor:
    """How much each of `count` cells that fill a square counts in each of `size` pixels: `(batch, size, count)`.

    Bilinear upsampling is separable, so it is a matrix: the same numbers on every backend and in every format.
    """
    centre = ops.expand_dims(ops.arange(size, dtype="float32") + 0.5, axis=0)
    inside = (centre - corner) / side
    cell = ops.expand_dims(ops.clip(inside * count - 0.5, 0.0, count - 1.0), axis=-1)
    weight = ops.relu(1.0 - ops.abs(cell - ops.arange(count, dtype="float32")))
    return weight * ops.expand_dims(ops.cast((inside > 0) & (inside < 1), "float32"), axis=-1)
