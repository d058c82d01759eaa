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
    coloured = image.max(axis=-1).astype(np.int16) - image.min(axis=-1) > _COLOURED
    grey = image.max(axis=-1).astype(np.float32)
    thin = grey - ndimage.grey_opening(grey, (_STROKE, _STROKE)) > _CONTRAST
    strokes, _ = ndimage.label(thin & (grey >= _BRIGHT), np.ones((3, 3), int))
    sizes = np.bincount(strokes.ravel())
    sizes[0] = 0
    drawn = coloured | (sizes[strokes] >= _LEAST_STROKE)
    return float(1e4 * drawn.mean())
