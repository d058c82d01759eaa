"""What an ultrasound file says of its regions: which of them is scanned tissue, and how large a pixel of it is.

DICOM PS3.3, C.8.5.5 "US Region Calibration Module". A file may show several regions: B-mode, colour, Doppler and
M-mode traces, two views side by side. Only 2-D tissue is looked at, and of several the largest.
"""

import math
from dataclasses import dataclass
from typing import Any

from busi_keras.dicom.scan_area import ScanArea

SMALLEST_SIDE = 16
"""Of a region that can be an image, in pixels."""

NO_SCAN_AREA = "the file defines no 2-D tissue region: the whole frame is analysed, including text around the scan"
NOT_SQUARE = "pixels are not square ({x:.3g} x {y:.3g} mm): shapes are analysed as stored, stretched in one direction"
SEVERAL_SCAN_AREAS = "the file defines {count} 2-D tissue regions: only the largest is analysed"

_TWO_DIMENSIONAL, _TISSUE, _CENTIMETRES = 1, 1, 3  # (0018,6012), (0018,6014), (0018,6024) and (0018,6026)
_LARGEST_PIXEL_MM = 10.0
_SQUARE = 1.05  # the longer side of a pixel that passes for one, in shorter ones


@dataclass(frozen=True)
class Spacing:
    """Size of a pixel in mm: `x_mm` along the rows of pixels, `y_mm` down the columns; they may differ."""

    x_mm: float
    y_mm: float


@dataclass(frozen=True)
class Regions:
    """What the regions of a file come down to.

    Attributes:
        scan_area: the largest 2-D tissue region; all of the frame where there is none.
        named: whether the file names such a region.
        spacing: of its pixels; None where the file does not give it in cm along both axes.
        warnings: what a reader of a prediction has to know of this.
    """

    scan_area: ScanArea
    named: bool
    spacing: Spacing | None
    warnings: tuple[str, ...]


def read_regions(dataset: Any, rows: int, columns: int) -> Regions:
    """The regions of a file.

    Args:
        dataset: pydicom's, of the file's header.
        rows, columns: of its frames, in pixels. A region that reaches over them is cut.
    """
    found = [
        (area, item)
        for item in dataset.get("SequenceOfUltrasoundRegions") or ()
        if _shows_tissue(item) and (area := _area(item, rows, columns)) is not None
    ]
    if not found:
        return Regions(ScanArea.whole(rows, columns), False, None, (NO_SCAN_AREA,))
    area, item = max(found, key=lambda pair: _size(pair[0]))
    several = (SEVERAL_SCAN_AREAS.format(count=len(found)),) if len(found) > 1 else ()
    spacing = _spacing(item)
    distorted = spacing is not None and not 1 / _SQUARE < spacing.x_mm / spacing.y_mm < _SQUARE
    not_square = (NOT_SQUARE.format(x=spacing.x_mm, y=spacing.y_mm),) if spacing and distorted else ()
    return Regions(area, True, spacing, several + not_square)


def _shows_tissue(item: Any) -> bool:
    return item.get("RegionSpatialFormat") == _TWO_DIMENSIONAL and item.get("RegionDataType") == _TISSUE


def _area(item: Any, rows: int, columns: int) -> ScanArea | None:
    """The region inside the frame; its corners are pixels that belong to it."""
    corners = [item.get(f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    if not all(isinstance(corner, int) for corner in corners):
        return None
    x0, y0, x1, y1 = corners
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(columns, x1 + 1), min(rows, y1 + 1)
    if x1 - x0 < SMALLEST_SIDE or y1 - y0 < SMALLEST_SIDE:
        return None
    return ScanArea((x0, y0, x1, y1), rows, columns)


def _spacing(item: Any) -> Spacing | None:
    units = item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")
    deltas = item.get("PhysicalDeltaX"), item.get("PhysicalDeltaY")
    if units != (_CENTIMETRES, _CENTIMETRES) or not all(isinstance(delta, float) for delta in deltas):
        return None
    x_mm, y_mm = (10 * abs(delta) for delta in deltas)  # a negative delta says which way the axis points
    if not all(math.isfinite(mm) and 0 < mm < _LARGEST_PIXEL_MM for mm in (x_mm, y_mm)):
        return None
    return Spacing(x_mm, y_mm)


def _size(area: ScanArea) -> int:
    x0, y0, x1, y1 = area.box
    return (x1 - x0) * (y1 - y0)
