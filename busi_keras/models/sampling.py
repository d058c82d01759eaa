"""Bilinear sampling at any coordinates, in `keras.ops`: one function for augmentation, crops and what goes back."""

from typing import Any

from keras import ops

Tensor = Any
"""A tensor of whichever backend runs, or a `KerasTensor` while a functional model is built."""


def pixel_grid(size: int) -> Tensor:
    """Coordinates (y, x) of each pixel's centre, in pixels: float32 `(size, size, 2)`; the first pixel is (0, 0)."""
    line = ops.arange(size, dtype="float32")
    y, x = ops.meshgrid(line, line, indexing="ij")
    return ops.stack([y, x], axis=-1)


def affine_coordinates(transforms: Tensor, size: int) -> Tensor:
    """Where each output pixel looks in the input.

    Args:
        transforms: float32 `(batch, 2, 3)`: rows give y and x of the input from (y, x, 1) of the output, in pixels.
        size: side of the square output.

    Returns:
        float32 `(batch, size, size, 2)`, (y, x) in pixels of the input.
    """
    grid = ops.reshape(pixel_grid(size), (1, size * size, 2))
    turned = ops.matmul(grid, ops.transpose(transforms[:, :, :2], (0, 2, 1)))
    moved = turned + ops.expand_dims(transforms[:, :, 2], axis=1)
    return ops.reshape(moved, (-1, size, size, 2))


def sample_bilinear(images: Tensor, coordinates: Tensor) -> Tensor:
    """Values of `images` at `coordinates`, bilinear, zero outside.

    Args:
        images: float `(batch, S, S, channels)`.
        coordinates: float32 `(batch, T, T, 2)`, (y, x) in pixels.

    Returns:
        `(batch, T, T, channels)` of the images' dtype.
    """
    size, channels = images.shape[1], images.shape[-1]
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    flat = ops.reshape(padded, (-1, channels))
    side = size + 2
    first_row = ops.expand_dims(ops.arange(ops.shape(images)[0], dtype="int32") * (side * side), (1, 2))

    inside = ops.clip(coordinates + 1.0, 0.0, float(side - 1))
    low = ops.minimum(ops.floor(inside), float(side - 2))
    fraction = ops.cast(inside - low, images.dtype)
    corner = ops.cast(low, "int32")
    index = first_row + corner[..., 0] * side + corner[..., 1]

    y, x = fraction[..., :1], fraction[..., 1:]
    top = ops.take(flat, index, axis=0) * (1 - x) + ops.take(flat, index + 1, axis=0) * x
    bottom = ops.take(flat, index + side, axis=0) * (1 - x) + ops.take(flat, index + side + 1, axis=0) * x
    return top * (1 - y) + bottom * y
