"""How large a lesion is, in mm where the file says how large a pixel is, else in pixels."""

from dataclasses import asdict, dataclass
from typing import Any

from busi_keras.dicom.regions import Spacing
from busi_keras.evaluation.lesions import Lesion


@dataclass(frozen=True)
class LesionSize:
    """A lesion's extent.

    Attributes:
        width: of its box, along the skin, in `unit`.
        height: of its box, in depth, in `unit`.
        area: of its pixels, in `unit` squared.
        unit: `mm`, or `px` where the size of a pixel is not known.
    """

    width: float
    height: float
    area: float
    unit: str

    def __str__(self) -> str:
        if self.unit == "px":
            return f"{self.width:.0f} x {self.height:.0f} px, area {self.area:.0f} px"
        return f"{self.width:.1f} x {self.height:.1f} mm, area {self.area:.1f} mm²"


def lesion_size(lesion: Lesion, spacing: Spacing | None) -> LesionSize:
    """The size of a lesion whose pixels are so large; in pixels where that is None."""
    x0, y0, x1, y1 = lesion.box
    if spacing is None:
        return LesionSize(x1 - x0, y1 - y0, lesion.area_px, "px")
    return LesionSize(
        (x1 - x0) * spacing.x_mm, (y1 - y0) * spacing.y_mm, lesion.area_px * spacing.x_mm * spacing.y_mm, "mm"
    )


def lesion_json(lesion: Lesion, spacing: Spacing | None) -> dict[str, Any]:
    """A lesion and its size, as every JSON document here has them."""
    return {**asdict(lesion), "size": asdict(lesion_size(lesion, spacing))}
