"""Joint augmentation of image and mask, inside the training step, the same on every backend.

Chance and work are kept apart: `draw_augmentation` draws a few numbers an image on the host, from a generator that the
caller seeds; `augment` is a pure function of the images and these numbers. Image and mask are resampled once, together.
Flips are left-right alone: the skin is on top. Scaling keeps the aspect: taller than wide is a sign of malignancy.
"""

from collections.abc import Mapping

import numpy as np
from keras import ops

from busi_keras.models.sampling import Tensor, affine_coordinates, sample_bilinear
from busi_keras.models.two_stage import crop_squares, crop_transforms

ROTATION = np.deg2rad(12)
"""Largest angle in radians."""
LOG_SCALE = 0.2
"""Largest natural logarithm of the scale."""
SHIFT = 0.08
"""Largest shift, as a share of the side."""
BEND = 0.012
"""Standard deviation of a control point's displacement, as a share of the side."""
LOG_GAMMA = 0.35
LOG_GAIN = 0.25
"""Largest natural logarithms of the exponent and the factor of grey in [0, 1]."""
SPECKLE = 0.15
"""Largest standard deviation of the noise, relative to grey."""

BEND_INTERVALS = 4
BEND_POINTS = BEND_INTERVALS + 3
NOISE_GRAIN = 2
"""Side of a grain of speckle, in pixels."""


def draw_augmentation(rng: np.random.Generator, batch: int, size: int, strength: float = 1.0) -> dict[str, np.ndarray]:
    """What happens to each image of a batch.

    Args:
        rng: the only source of chance.
        batch: number of images.
        size: S, side of the images in pixels; even.
        strength: factor of every range; at 0 nothing happens, and from 1 on half of the images are flipped.

    Returns:
        float32 arrays: `transform` `(batch, 2, 3)`, output pixel -> input pixel; `bend` `(batch, 7, 7, 2)`, control
        points of a cubic B-spline displacement in pixels; `tone` `(batch, 3)`: gamma, gain, strength of speckle;
        `noise` `(batch, S/2, S/2, 1)`, standard normal.
    """

    def uniform(limit: float) -> np.ndarray:
        return strength * rng.uniform(-limit, limit, batch)

    angle, scale = uniform(ROTATION), np.exp(uniform(LOG_SCALE))
    flip = np.where(rng.random(batch) < min(0.5, 0.5 * strength), -1.0, 1.0)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cos, -sin * flip], -1), np.stack([sin, cos * flip], -1)], 1)
    centre = np.full(2, (size - 1) / 2)
    shift = centre - linear @ centre + size * np.stack([uniform(SHIFT), uniform(SHIFT)], -1)
    arrays = {
        "transform": np.concatenate([linear, shift[..., None]], -1),
        "bend": strength * rng.normal(0, BEND * size, (batch, BEND_POINTS, BEND_POINTS, 2)),
        "tone": np.stack([np.exp(uniform(LOG_GAMMA)), np.exp(uniform(LOG_GAIN)), np.abs(uniform(SPECKLE))], -1),
        "noise": rng.standard_normal((batch, size // NOISE_GRAIN, size // NOISE_GRAIN, 1), np.float32),
    }
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def augment(images: Tensor, masks: Tensor, drawn: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Images and masks, flipped, warped, and the images re-toned.

    Args:
        images: float32 `(batch, S, S, 3)`, 0-255.
        masks: float32 `(batch, S, S, 1)`, 0 or 1.
        drawn: from `draw_augmentation`; with `box` `(batch, 4)` (y0, x0, y1, x1 in pixels) the result is the square
            crop around that box, scaled to S, as the two-stage model makes it.

    Returns:
        Images and masks as given: float32, 0-255; float32, 0 or 1.
    """
    size = images.shape[1]
    coordinates = affine_coordinates(drawn["transform"], size) + _bend(drawn["bend"], size)
    if "box" in drawn:
        crop = crop_transforms(crop_squares(drawn["box"], size), size)
        scale = crop[:, 0, 0][:, None, None, None]
        coordinates = coordinates * scale + crop[:, None, None, :, 2]
    both = sample_bilinear(ops.concatenate([images, masks], axis=-1), coordinates)
    return _tone(both[..., :3], drawn["tone"], drawn["noise"]), ops.cast(both[..., 3:] >= 0.5, "float32")


def _bend(points: Tensor, size: int) -> Tensor:
    """A smooth displacement (free-form deformation, Rueckert et al., IEEE TMI 1999): `(batch, S, S, 2)` in pixels."""
    basis = ops.convert_to_tensor(_cubic_b_spline(size))
    return ops.einsum("yi,bijc,xj->byxc", basis, points, basis)


def _cubic_b_spline(size: int) -> np.ndarray:
    """The weight of each control point at each pixel, float32 `(size, BEND_POINTS)`; each row sums to 1."""
    position = np.arange(size) / size * BEND_INTERVALS
    first = position.astype(int)
    t = position - first
    pieces = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    basis = np.zeros((size, BEND_POINTS), np.float32)
    for offset, piece in enumerate(pieces):
        basis[np.arange(size), first + offset] = piece / 6
    return basis


def _tone(images: Tensor, tone: Tensor, noise: Tensor) -> Tensor:
    gamma, gain, speckle = (tone[:, i][:, None, None, None] for i in range(3))
    grain = ops.repeat(ops.repeat(noise, NOISE_GRAIN, axis=1), NOISE_GRAIN, axis=2)
    grey = ops.power(ops.maximum(images, 0.0) / 255, gamma) * gain * (1 + speckle * grain)
    return ops.clip(grey, 0.0, 1.0) * 255
