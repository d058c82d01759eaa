"""Lesions in a mask: connected components with box and area."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_EIGHT_NEIGHBOURS = np.ones((3, 3), int)


@dataclass(frozen=True)
class Lesion:
    """One connected component of a mask.

    Attributes:
        box: x0, y0, x1, y1 in pixels, the end exclusive.
        area_px: number of pixels.
    """

    box: tuple[int, int, int, int]
    area_px: int


def find_lesions(mask: np.ndarray) -> list[Lesion]:
    """The 8-connected components of a bool mask `(height, width)`, largest first."""
    components, _ = ndimage.label(mask, _EIGHT_NEIGHBOURS)
    areas = np.bincount(components.ravel())
    lesions = [
        Lesion((columns.start, rows.start, columns.stop, rows.stop), int(areas[number]))
        for number, (rows, columns) in enumerate(ndimage.find_objects(components), start=1)
    ]
    return sorted(lesions, key=lambda lesion: (-lesion.area_px, lesion.box))
