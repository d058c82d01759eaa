"""Distances between the outlines of two masks."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FAR = 95
"""Percentile of the Hausdorff distance: the largest distance hangs on a single stray pixel."""


@dataclass(frozen=True)
class SurfaceDistance:
    """How far two outlines lie apart, in pixels of the image.

    Attributes:
        hd95_px: the larger of the two directions' 95th percentiles (Huttenlocher et al., TPAMI 1993, made robust).
        average_px: mean over the pixels of both outlines.
        diagonal_px: of the image, to tell what share of it that is.
    """

    hd95_px: float
    average_px: float
    diagonal_px: float


def surface_distance(true: np.ndarray, predicted: np.ndarray) -> SurfaceDistance | None:
    """The distances of two bool masks `(height, width)`; None where one of them is empty."""
    if not true.any() or not predicted.any():
        return None
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (true, predicted)]
    distances = [ndimage.distance_transform_edt(~outline) for outline in outlines]
    there, back = distances[1][outlines[0]], distances[0][outlines[1]]
    return SurfaceDistance(
        hd95_px=float(max(np.percentile(there, FAR), np.percentile(back, FAR))),
        average_px=float(np.concatenate([there, back]).mean()),
        diagonal_px=float(np.hypot(*true.shape)),
    )
