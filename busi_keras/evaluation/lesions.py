"""Lesions in a mask: connected components with box and area."""

from dataclasses import dataclass
from typing import Any

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

    def size_mm(self, spacing_mm: tuple[float, float]) -> tuple[float, float]:
        """The box's width and height, where pixels are so far apart, down and across."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * spacing_mm[1], (y1 - y0) * spacing_mm[0]

    def area_mm2(self, spacing_mm: tuple[float, float]) -> float:
        """The area, where pixels are so far apart, down and across."""
        return self.area_px * spacing_mm[0] * spacing_mm[1]

    def to_json(self, spacing_mm: tuple[float, float] | None) -> dict[str, Any]:
        """Box and area in pixels, size and area in mm; these are null where the pixel spacing is not known."""
        return {
            "box": self.box,
            "area_px": self.area_px,
            "size_mm": self.size_mm(spacing_mm) if spacing_mm else None,
            "area_mm2": self.area_mm2(spacing_mm) if spacing_mm else None,
        }


def find_lesions(mask: np.ndarray) -> list[Lesion]:
    """The 8-connected components of a bool mask `(height, width)`, largest first."""
    components, _ = ndimage.label(mask, _EIGHT_NEIGHBOURS)
    areas = np.bincount(components.ravel())
    lesions = [
        Lesion((columns.start, rows.start, columns.stop, rows.stop), int(areas[number]))
        for number, (rows, columns) in enumerate(ndimage.find_objects(components), start=1)
    ]
    return sorted(lesions, key=lambda lesion: (-lesion.area_px, lesion.box))
