"""What was drawn onto an ultrasound image after it was taken: text, calipers, body markers, coloured lines."""

import numpy as np
from scipy import ndimage

MARKED = 23.0
"""Above it an image counts as marked. Of 30 BUSI images looked at in the order of their scores, all 8 above it were
marked, and 2 of the 22 below: small letters at the rim, dotted calipers."""

_STROKE = 7
"""Pixels: what is brighter than everything around it within this width is thin."""
_CONTRAST, _BRIGHT = 90.0, 190
_COLOURED = 40
_LEAST_STROKE = 6


def mark_score(image: np.ndarray) -> float:
    """How much of an image is drawn on it: thin strokes that are nearly white or black-edged, and coloured pixels.

    Args:
        image: uint8 `(height, width, 3)`.

    Returns:
        Marked pixels for every 10,000 of the image; speckle and bright fascia give a few, a line of text dozens.
    """
    darkest, grey = extremes(image)
    coloured = grey - darkest > _COLOURED
    thin = grey - ndimage.grey_opening(grey, (_STROKE, _STROKE)) > _CONTRAST
    strokes, _ = ndimage.label(thin & (grey >= _BRIGHT), np.ones((3, 3), int))
    sizes = np.bincount(strokes.ravel())
    sizes[0] = 0
    drawn = coloured | (sizes[strokes] >= _LEAST_STROKE)
    return float(1e4 * drawn.mean())


def extremes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The darkest and the brightest channel of each pixel, uint8 `(height, width)`.

    NumPy's own reduction over an axis of three takes many times as long.
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
