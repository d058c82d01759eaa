"""How alike two frames are where one lies in the other: they are registered there and correlated tile by tile."""

from dataclasses import replace

import numpy as np

from busi_keras.data.keypoints import Frame, blur
from busi_keras.data.proposals import Placement

# Lengths are in thumbnail pixels.
_TILE = 16
_ENOUGH_TILES = 40  # with texture; the score is reduced under this number
_TILE_VARIANCE = 0.05
_FULL_OVERLAP = 0.5  # share of the smaller image from which on the score is not reduced


def overlap_score(first: Frame, second: Frame, placement: Placement) -> float:
    """Median correlation of the tiles in the overlap, reduced where the overlap or the texture in it is small."""
    target, source = first.texture.astype(np.float32), second.texture.astype(np.float32)
    if placement.mirrored:
        source = source[:, ::-1]
    for sigma, steps in ((4.0, 6), (1.5, 4)):
        placement = _refined(blur(target, sigma), blur(source, sigma), placement, steps)
    laid = _lay(target, source, placement)
    if laid is None:
        return 0.0
    correlation = _tile_correlations(laid[0], laid[1])
    if len(correlation) == 0:
        return 0.0
    smaller = min(target.size, source.size * placement.scale.prod())
    covered = min(1.0, laid[0].size / smaller / _FULL_OVERLAP)
    textured = min(1.0, len(correlation) / _ENOUGH_TILES)
    return float(np.clip(np.median(correlation) * covered * textured, 0, 1))


def _lay(
    target: np.ndarray, source: np.ndarray, placement: Placement
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The part of the target that the source covers, the source resampled to it, the part's first row and column."""
    far = placement.shift + placement.scale * (np.array(source.shape) - 1)
    low = np.maximum(0, np.ceil(placement.shift)).astype(int)
    high = np.minimum(np.array(target.shape) - 1, np.floor(far)).astype(int) + 1
    if (high - low < 2 * _TILE).any():
        return None
    rows, columns = (
        (np.arange(low[axis], high[axis]) - placement.shift[axis]) / placement.scale[axis] for axis in (0, 1)
    )
    return target[low[0] : high[0], low[1] : high[1]], _resample(source, rows, columns), low


def _resample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    top = np.clip(rows.astype(int), 0, image.shape[0] - 2)
    left = np.clip(columns.astype(int), 0, image.shape[1] - 2)
    down, right = (rows - top).astype(np.float32)[:, None], (columns - left).astype(np.float32)
    lines = image[top] * (1 - down) + image[top + 1] * down
    return lines[:, left] * (1 - right) + lines[:, left + 1] * right


def _refined(target: np.ndarray, source: np.ndarray, placement: Placement, steps: int) -> Placement:
    """Lucas-Kanade on shift and scale of both axes."""
    for _ in range(steps):
        laid = _lay(target, source, placement)
        if laid is None:
            return placement
        fixed, moving, corner = laid
        step = _registration_step(fixed, moving)
        size = np.array(fixed.shape)
        centre = corner + (size - 1) / 2
        stretch = 1 / (1 + 2 * step[2:] / size)
        shift = centre + (placement.shift - centre - step[:2]) * stretch
        placement = replace(placement, scale=placement.scale * stretch, shift=shift)
    return placement


def _registration_step(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Row and column shift, and row and column stretch at the border, in pixels, that bring two (h, w) images closer.

    A pixel counts less the larger its difference is, so that calipers and text do not pull.
    """
    row_slope, column_slope = np.gradient(moving)
    row, column = (np.linspace(-1, 1, side, dtype=np.float32) for side in moving.shape)
    motion = np.stack([row_slope, column_slope, row_slope * row[:, None], column_slope * column]).reshape(4, -1)
    gain = np.clip((moving * fixed).sum() / max(float((moving * moving).sum()), 1e-6), 0.3, 1.5)
    error = (fixed / gain - moving).ravel()
    weighted = motion / (1 + (error / 0.7) ** 2)
    damped = weighted @ motion.T + 1e-3 * error.size * np.eye(4)
    return np.clip(np.linalg.solve(damped, weighted @ error), -6, 6)


def _tile_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlations, in [-1, 1], of the square tiles in which at least one of two equally large images has texture."""
    a, b = (_tiles(image) for image in (first, second))
    variance_a, variance_b = (a * a).mean(axis=1), (b * b).mean(axis=1)
    textured = np.maximum(variance_a, variance_b) > _TILE_VARIANCE
    return ((a * b).mean(axis=1) / np.sqrt(variance_a * variance_b + 1e-6))[textured]


def _tiles(image: np.ndarray) -> np.ndarray:
    """Whole tiles, float32 (n, _TILE**2), each less its mean."""
    rows, columns = image.shape[0] // _TILE, image.shape[1] // _TILE
    tiles = image[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE).swapaxes(1, 2)
    flat = tiles.reshape(rows * columns, _TILE * _TILE)
    return flat - flat.mean(axis=1, keepdims=True)
