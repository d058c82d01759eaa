"""What the API answers; FastAPI writes these types into `openapi.json`."""

from collections.abc import Sequence
from dataclasses import dataclass

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.dicom.lesion_size import LesionSize, lesion_size
from busi_keras.dicom.regions import Spacing
from busi_keras.dicom.scan_area import ScanArea
from busi_keras.evaluation.lesions import Lesion
from busi_keras.inference.predictor import Prediction, finite
from busi_keras.web.case import Case, Correction


@dataclass(frozen=True)
class ErrorAnswer:
    """What is wrong and the way out, in a sentence."""

    error: str


@dataclass(frozen=True)
class LesionAnswer:
    """One outlined lesion.

    Attributes:
        box: x0, y0, x1, y1 in pixels, the end exclusive.
        area_px: in pixels.
        size: in mm where the size of a pixel is known, else in pixels.
    """

    box: tuple[int, int, int, int]
    area_px: int
    size: LesionSize


@dataclass(frozen=True)
class FindingAnswer:
    """What the network says of one image, at the image's own size. Research use, not a diagnosis.

    Attributes:
        warnings: why not to trust it.
        probabilities: of each class, calibrated, sum 1.
        lesions: largest first.
        width, height: of the image that was looked at, px; boxes are counted from its corner.
        scan_area: x0, y0, x1, y1 of that image in the file's frame, px; null where it is all of the frame.
        frame_width, frame_height: of the file's frame, px.
        spacing_mm: size of a pixel, along the rows and down the columns; null where it is not known.
        novelty: how unlike the training images, around 1 for images like them; null where it is not a number.
        model: which one.
    """

    warnings: list[str]
    label: str
    probabilities: dict[str, float]
    lesions: list[LesionAnswer]
    width: int
    height: int
    scan_area: tuple[int, int, int, int] | None
    frame_width: int
    frame_height: int
    spacing_mm: tuple[float, float] | None
    novelty: float | None
    model: str
    intended_use: str = RESEARCH_USE

    @classmethod
    def of(
        cls,
        found: Prediction,
        width: int,
        height: int,
        spacing: Spacing | None,
        scan_area: ScanArea | None,
        model: str,
        frame_warnings: tuple[str, ...] = (),
    ) -> "FindingAnswer":
        """The answer for a prediction of an image of that size, px."""
        return cls(
            warnings=[*found.warnings, *frame_warnings],
            label=found.label,
            probabilities=dict(zip(CLASSES, found.probabilities, strict=True)),
            lesions=_lesions(found.lesions, spacing),
            width=width,
            height=height,
            scan_area=scan_area.box if scan_area else None,
            frame_width=scan_area.columns if scan_area else width,
            frame_height=scan_area.rows if scan_area else height,
            spacing_mm=(spacing.x_mm, spacing.y_mm) if spacing else None,
            novelty=finite(found.novelty),
            model=model,
        )


@dataclass(frozen=True)
class PredictionAnswer:
    """What is said of one frame of a file that is not kept.

    Attributes:
        mask_png: the mask, 0 and 255, in base64.
        heat_map_png: Grad-CAM of the class, grey, 0-255, in base64; null if nothing supports the class.
    """

    frame: int
    finding: FindingAnswer
    mask_png: str
    heat_map_png: str | None


@dataclass(frozen=True)
class CorrectionAnswer:
    """What the reader says instead.

    Attributes:
        saved: the image's path in the server's folder of corrections; null where it has none.
        mask_drawn: whether the reader drew a mask; else the model's stands.
        lesions: in the reader's mask, largest first; null where there is none.
    """

    label: str
    saved: str | None
    mask_drawn: bool
    lesions: list[LesionAnswer] | None

    @classmethod
    def of(cls, said: Correction, spacing: Spacing | None) -> "CorrectionAnswer":
        """The answer for a correction."""
        lesions = None if said.lesions is None else _lesions(said.lesions, spacing)
        return cls(said.label, said.saved, said.lesions is not None, lesions)


@dataclass(frozen=True)
class CaseAnswer:
    """One image of the session.

    Attributes:
        key: its name in the API.
        name: of its file.
        frame: which of the file's `frames`, from 0.
        phantom: whether it is one of the page's examples.
        heat_map: whether there is one.
        may_name_patient: whether its file lets a name be written on it; then a correction is saved only with `no_name`.
        dicom: whether there are results in DICOM.
    """

    key: str
    name: str
    frame: int
    frames: int
    phantom: bool
    heat_map: bool
    may_name_patient: bool
    dicom: bool
    finding: FindingAnswer
    correction: CorrectionAnswer | None

    @classmethod
    def of(cls, case: Case, model: str) -> "CaseAnswer":
        """The answer for a case."""
        finding = FindingAnswer.of(case.finding, case.width, case.height, case.spacing, case.scan_area, model)
        corrected = case.correction
        return cls(
            case.key, case.name, case.frame, case.frames, case.phantom, case.has_heat_map, case.may_name_patient,
            case.ultrasound is not None, finding,
            CorrectionAnswer.of(corrected, case.spacing) if corrected else None,
        )  # fmt: skip


@dataclass(frozen=True)
class UploadAnswer:
    """A file that was taken; ask for its frames next."""

    key: str
    frames: int


@dataclass(frozen=True)
class ModelAnswer:
    """The model behind the page.

    Attributes:
        thresholds: from which probability of malignant on an image counts as suspicious, most sensitive first.
        operating: by threshold, `sensitivity` and `specificity` for malignant on held-out images, if there were any.
        warnings: why not to trust any result of it.
        notices: what happened to it meanwhile.
        corrections: whether the server saves corrections.
        max_upload_bytes: a larger file is refused.
        idle_seconds: a session ends when the page was closed for so long.
        signed_in: whether there is a user who can sign out.
    """

    version: str
    approach: str
    backbone: str
    data: str
    date: str
    scored: str
    scores: dict[str, float | None]
    thresholds: dict[str, float]
    operating: dict[str, dict[str, float | None]]
    warnings: list[str]
    notices: list[str]
    examples: list[str]
    corrections: bool
    max_upload_bytes: int
    idle_seconds: float
    signed_in: bool
    software: str
    intended_use: str = RESEARCH_USE


@dataclass(frozen=True)
class ReadyAnswer:
    """Whether images can be predicted.

    Attributes:
        state: loading, ready or failed.
        notice: where the model's file is not the one that was loaded.
    """

    state: str
    notice: str | None = None


@dataclass(frozen=True)
class HealthAnswer:
    """That the server runs."""

    status: str = "ok"


@dataclass(frozen=True)
class SignIn:
    """A user and password."""

    user: str
    password: str


@dataclass(frozen=True)
class CorrectionRequest:
    """What the reader says.

    Attributes:
        label: benign, malignant or normal.
        mask_png: the reader's mask, a PNG of the image's size with 0 and 255, in base64; null to keep what there is.
        no_name: that the reader looked and no name is written on the image; asked for where `may_name_patient`.
    """

    label: str
    mask_png: str | None = None
    no_name: bool = False


def _lesions(lesions: Sequence[Lesion], spacing: Spacing | None) -> list[LesionAnswer]:
    return [LesionAnswer(one.box, one.area_px, lesion_size(one, spacing)) for one in lesions]
