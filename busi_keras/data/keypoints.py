"""A frame made searchable: its texture, and blobs in it with descriptors that crop, size and gain leave as they are."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

# Lengths are in thumbnail pixels; a thumbnail has the image's aspect ratio and about this many pixels.
_AREA = 192 * 192
_LOCAL_SIGMA = 14.0  # neighbourhood in which brightness and contrast are evened out
_NOISE = 4.0  # gray levels below which a difference is not texture
_SIGMAS = tuple(2.0 * 2 ** (step / 3) for step in range(8))
_LEAST_RESPONSE = 0.02
_KEYPOINTS = 64
_PATCH = 16  # samples a side
_PATCH_REACH = 5.0  # half a side, in sigmas
_FREQUENCIES = 7
_LONGEST = 20  # of a picture's longer side, in shorter ones: its matrices would take gigabytes

BLANK = np.zeros((64, 64), np.uint8)
"""An image without anything to be found by."""


@dataclass(frozen=True)
class Frame:
    """An image made searchable.

    Texture float16 (h, w), points float32 (k, 3) of row, column and sigma, descriptors float32 (k, d) of unit length.
    """

    texture: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray


def make_frame(image: np.ndarray) -> Frame:
    """An image made searchable: uint8 `(height, width)` or `(height, width, 3)`, any size; of one that is no picture,
    but a line, nothing is."""
    if max(image.shape[:2]) > _LONGEST * min(image.shape[:2]):
        image = BLANK
    texture = _texture(_thumbnail(image))
    levels = np.stack([blur(texture, sigma) for sigma in _SIGMAS])
    level, row, column = _keypoints(levels)
    points = np.stack([row, column, np.take(_SIGMAS, level)], axis=1).astype(np.float32)
    return Frame(blur(texture, 1.0).astype(np.float16), points, _describe(levels, level, row, column))


def _thumbnail(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        gray = image.astype(np.float32)
    else:  # the mean; NumPy's own over an axis of three takes many times as long
        gray = (image[..., 0].astype(np.float32) + image[..., 1] + image[..., 2]) / np.float32(3)
    height, width = gray.shape
    factor = (_AREA / (height * width)) ** 0.5
    rows, columns = (max(8, round(side * factor)) for side in (height, width))
    return _resize_matrix(rows, height) @ gray @ _resize_matrix(columns, width).T


@lru_cache(maxsize=256)
def _resize_matrix(size: int, source: int) -> np.ndarray:
    step = source / size
    centre = (np.arange(size) + 0.5) * step - 0.5
    weight = np.maximum(0, 1 - np.abs(centre[:, None] - np.arange(source)) / max(step, 1.0))
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=256)
def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    position = np.arange(size)
    weight = np.exp(-0.5 * ((position[:, None] - position) / sigma) ** 2)
    weight[weight < 1e-6] = 0  # denormal numbers would slow the products tenfold
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """A float32 image `(height, width)` under a Gaussian, sigma in pixels; what lies outside does not count."""
    height, width = image.shape
    return _blur_matrix(height, sigma) @ image @ _blur_matrix(width, sigma).T


def _texture(thumbnail: np.ndarray) -> np.ndarray:
    """Thumbnail with local mean 0 and local deviation 1 (less where there is only noise): gain and gamma drop out."""
    detail = thumbnail - blur(thumbnail, _LOCAL_SIGMA)
    return detail / np.sqrt(blur(detail * detail, _LOCAL_SIGMA) + _NOISE**2)


def _keypoints(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level, row and column of the strongest blobs (extrema of differences of Gaussians) whose patches lie inside."""
    response = np.abs(np.diff(levels, axis=0))
    peak = (response == ndimage.maximum_filter(response, size=(3, 5, 5))) & (response > _LEAST_RESPONSE)
    level, row, column = np.nonzero(peak[1:-1])
    level += 1
    reach = _PATCH_REACH * np.take(_SIGMAS, level)
    _, height, width = levels.shape
    inside = (np.minimum(row, column) >= reach) & (row + reach < height - 1) & (column + reach < width - 1)
    level, row, column = level[inside], row[inside], column[inside]
    strongest = np.argsort(-response[level, row, column], kind="stable")[:_KEYPOINTS]
    return level[strongest], row[strongest], column[strongest]


def _describe(levels: np.ndarray, level: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Low frequencies of the patch around each key point, unit length, float32 (k, _FREQUENCIES**2 - 1)."""
    offset = np.take(_SIGMAS, level)[:, None] * np.linspace(-_PATCH_REACH, _PATCH_REACH, _PATCH)
    rows, columns = (row[:, None] + offset)[:, :, None], (column[:, None] + offset)[:, None, :]
    top, left = rows.astype(int), columns.astype(int)
    down, right = rows - top, columns - left
    index = level[:, None, None]
    upper = levels[index, top, left] * (1 - right) + levels[index, top, left + 1] * right
    lower = levels[index, top + 1, left] * (1 - right) + levels[index, top + 1, left + 1] * right
    patches = upper * (1 - down) + lower * down
    cosines = _cosines()
    descriptors = (cosines @ patches @ cosines.T).reshape(len(level), _FREQUENCIES**2)[:, 1:]
    length = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return (descriptors / np.maximum(length, 1e-6)).astype(np.float32)


def _cosines() -> np.ndarray:
    wave = np.cos(np.arange(_FREQUENCIES)[:, None] * (np.arange(_PATCH) + 0.5) * np.pi / _PATCH)
    return wave / np.linalg.norm(wave, axis=1, keepdims=True)


def mirrored_descriptors(descriptors: np.ndarray) -> np.ndarray:
    """The descriptors of the left-right mirrored patches: odd horizontal frequencies change sign."""
    sign = np.where(np.arange(_FREQUENCIES) % 2, -1, 1).astype(np.float32)
    return descriptors * np.tile(sign, _FREQUENCIES)[1:]
