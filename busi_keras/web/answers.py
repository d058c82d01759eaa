"""What the API answers; FastAPI writes these types into `openapi.json`."""

from dataclasses import dataclass

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.dicom.lesion_size import LesionSize, lesion_size
from busi_keras.dicom.regions import Spacing
from busi_keras.inference.predictor import Prediction
from busi_keras.web.case import Case


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
        spacing_mm: size of a pixel, along the rows and down the columns; null where it is not known.
        novelty: how unlike the training images, around 1 for images like them.
        model: which one.
    """

    warnings: list[str]
    label: str
    probabilities: dict[str, float]
    lesions: list[LesionAnswer]
    width: int
    height: int
    spacing_mm: tuple[float, float] | None
    novelty: float
    model: str
    intended_use: str = RESEARCH_USE

    @classmethod
    def of(
        cls,
        found: Prediction,
        width: int,
        height: int,
        spacing: Spacing | None,
        model: str,
        frame_warnings: tuple[str, ...] = (),
    ) -> "FindingAnswer":
        """The answer for a prediction of an image of that size, px."""
        return cls(
            warnings=[*frame_warnings, *found.warnings],
            label=found.label,
            probabilities=dict(zip(CLASSES, found.probabilities, strict=True)),
            lesions=[LesionAnswer(one.box, one.area_px, lesion_size(one, spacing)) for one in found.lesions],
            width=width,
            height=height,
            spacing_mm=(spacing.x_mm, spacing.y_mm) if spacing else None,
            novelty=found.novelty,
            model=model,
        )


@dataclass(frozen=True)
class PredictionAnswer:
    """What is said of one frame of a file that is not kept.

    Attributes:
        mask_png: the mask, 0 and 255, in base64.
        heat_map_png: Grad-CAM of the class, grey, 0-255, in base64; null where nothing speaks for the class.
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
    """

    label: str
    saved: str | None


@dataclass(frozen=True)
class CaseAnswer:
    """One image of the session.

    Attributes:
        key: its name in the API.
        name: of its file.
        frame: which of the file's `frames`, from 0.
        phantom: whether it is one of the page's examples.
        heat_map: whether there is one.
    """

    key: str
    name: str
    frame: int
    frames: int
    phantom: bool
    heat_map: bool
    finding: FindingAnswer
    correction: CorrectionAnswer | None

    @classmethod
    def of(cls, case: Case, model: str) -> "CaseAnswer":
        """The answer for a case."""
        finding = FindingAnswer.of(case.finding, case.width, case.height, case.spacing, model)
        corrected = case.correction
        return cls(
            case.key, case.name, case.frame, case.frames, case.phantom, case.has_heat_map, finding,
            CorrectionAnswer(corrected.label, corrected.saved) if corrected else None,
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
        mask_png: the reader's mask, a PNG of the image's size with 0 and 255, in base64; null to keep the model's.
    """

    label: str
    mask_png: str | None = None
