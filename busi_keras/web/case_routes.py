"""What a reader does with cases: look, compare, correct, report."""

import base64
import csv
import io
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from matplotlib import colormaps

from busi_keras import __version__
from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES, MALIGNANT
from busi_keras.data.corrections import Provenance, check_correction, save_correction
from busi_keras.dicom.lesion_size import lesion_size
from busi_keras.errors import UsageError
from busi_keras.evaluation.lesions import find_lesions
from busi_keras.imaging import encode_png, pixel_count, read_image, read_mask
from busi_keras.report.case_report import CaseReport, Threshold
from busi_keras.report.panels import COLOUR_MAP
from busi_keras.web.answers import CaseAnswer, CorrectionAnswer, CorrectionRequest, ErrorAnswer
from busi_keras.web.case import Case, Correction
from busi_keras.web.dependencies import TheService, TheSession
from busi_keras.web.service import Service, in_thread
from busi_keras.web.sessions import NotThereError
from busi_keras.workflows.predict_dicom import predicted_frame

COLUMNS = (
    *(
        "file",
        "frame",
        "label",
        *(f"p_{name}" for name in CLASSES),
        "suspicious",
        "threshold",
        "lesions",
        "largest_box",
    ),
    *("largest_area_px", "largest_width", "largest_height", "largest_area", "size_unit"),
    *("corrected_label", "novelty", "warnings", "model", "outlined_by", "intended_use"),
)
FORMULA_STARTS = ("=", "+", "-", "@")
PIXELS_A_MASK_BYTE = 8
"""What a drawn mask takes, about: a bit a pixel, before PNG makes it smaller."""

NOT_THERE: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "There is no such case."}}
BUSY: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorAnswer, "description": "Too many images are being worked on; ask again after `Retry-After`."}
}
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}, **NOT_THERE}

ThresholdName = Annotated[str | None, Query(description="One of the model's thresholds; the most sensitive if none.")]

router = APIRouter(prefix="/api/cases", tags=["cases"])


@router.get("")
def list_cases(service: TheService, session: TheSession) -> list[CaseAnswer]:
    """All cases of the session, oldest first."""
    return [CaseAnswer.of(case, service.model.version) for case in session.cases.copy().values()]


@router.get(".csv", responses={200: {"content": {"text/csv": {}}}}, response_class=Response)
def table(service: TheService, session: TheSession, threshold: ThresholdName = None) -> Response:
    """All cases as a table, the most malignant first; lesions are the reader's where the reader outlined them."""
    chosen = _threshold(service, threshold)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    by_malignancy = sorted(session.cases.copy().values(), key=lambda case: -case.finding.probabilities[MALIGNANT])
    for case in by_malignancy:
        writer.writerow(_row(case, chosen, service.model.version))
    return _download(buffer.getvalue().encode(), "text/csv; charset=utf-8", "busi-keras-cases.csv")


@router.get("/{key}", responses=NOT_THERE)
def show(key: str, service: TheService, session: TheSession) -> CaseAnswer:
    """One case."""
    return CaseAnswer.of(session.case(key), service.model.version)


@router.delete("/{key}", status_code=204, responses=NOT_THERE)
async def remove(key: str, session: TheSession) -> None:
    """Remove a case and its pixels."""
    case = session.case(key)
    del session.cases[key]
    await in_thread(case.remove)


@router.get("/{key}/image.png", responses=PNG, response_class=Response)
def image(key: str, session: TheSession) -> Response:
    """The image as the network saw it: 8 bits, upright, without what else its file held."""
    return _png(session.case(key).folder / "image.png")


@router.get("/{key}/mask.png", responses=PNG, response_class=Response)
def mask(key: str, session: TheSession) -> Response:
    """The mask, 0 and 255: the reader's where there is one, else the network's."""
    corrected = session.case(key).folder / "corrected.png"
    return _png(corrected if corrected.exists() else session.case(key).folder / "mask.png")


@router.get("/{key}/mask_probability.png", responses=PNG, response_class=Response)
def mask_probability(key: str, session: TheSession) -> Response:
    """The probability of lesion in each pixel, 0-255."""
    return _png(session.case(key).folder / "mask_probability.png")


@router.get("/{key}/heat_map.png", responses=PNG | BUSY, response_class=Response)
def heat_map(key: str, service: TheService, session: TheSession) -> Response:
    """Grad-CAM of the class, in colours (viridis)."""
    case = session.case(key)
    if not case.has_heat_map:
        raise NotThereError("no region of this image supports the class, so there is no heat map")
    with _place(case, service):
        grey = read_image((case.folder / "heat_map.png").read_bytes())[..., 0]
        return Response(encode_png(_colours()[grey]), media_type="image/png")


@router.get("/{key}/figure.png", responses=PNG | BUSY, response_class=Response)
def figure(key: str, service: TheService, session: TheSession) -> Response:
    """Input, mask, heat map and overlay in one row; with the reader's mask where there is one."""
    case = session.case(key)
    with _place(case, service):
        return Response(encode_png(_report(case, service, None).figure()), media_type="image/png")


@router.get("/{key}/report.pdf", responses={200: {"content": {"application/pdf": {}}}, **BUSY}, response_class=Response)
def report_pdf(key: str, service: TheService, session: TheSession, threshold: ThresholdName = None) -> Response:
    """The report on one page."""
    case = session.case(key)
    with _place(case, service):
        content = _report(case, service, threshold).to_pdf()
    return _download(content, "application/pdf", "busi-keras-report.pdf")


@router.get("/{key}/report.json", responses=NOT_THERE | BUSY, response_class=JSONResponse)
def report_json(key: str, service: TheService, session: TheSession, threshold: ThresholdName = None) -> JSONResponse:
    """The report as JSON, with image, mask and figure in base64."""
    case = session.case(key)
    with _place(case, service):
        document = _report(case, service, threshold).to_json()
    return JSONResponse(document, headers=_as_file("busi-keras-report.json"))


@router.get(
    "/{key}/dicom.zip",
    responses={200: {"content": {"application/zip": {}}}, **NOT_THERE, **BUSY, 422: {"model": ErrorAnswer}},
    response_class=Response,
)
def dicom_results(key: str, service: TheService, session: TheSession) -> Response:
    """What the model found, for the archive: Segmentation, Structured Report, Secondary Capture. They bear the name and
    number of the patient, as the file does; what a reader corrected is not in them."""
    case = session.case(key)
    if case.ultrasound is None:
        raise NotThereError("this image is not from a DICOM file, so there are no results in DICOM")
    with _place(case, service):
        found = predicted_frame(case.ultrasound, case.frame + 1, case.image(), case.prediction())
        content = found.dicom_results(service.model.card).to_zip()
    return _download(content, "application/zip", "busi-keras-dicom.zip")


@router.put(
    "/{key}/correction",
    responses=NOT_THERE
    | BUSY
    | {
        422: {"model": ErrorAnswer, "description": "It contradicts itself."},
        500: {"model": ErrorAnswer, "description": "What was noted of earlier corrections cannot be read."},
        507: {"model": ErrorAnswer, "description": "There is no room for it; nothing was saved."},
    },
)
async def correct(key: str, said: CorrectionRequest, service: TheService, session: TheSession) -> CorrectionAnswer:
    """Correct a case: the right class and mask. Saved in BUSI's layout where the server has a folder for it."""
    case = session.case(key)
    with _place(case, service):
        drawn = await in_thread(_drawn_mask, said, case)
        service.sessions.require_bytes(0 if drawn is None else drawn.size // PIXELS_A_MASK_BYTE)
        correction = await in_thread(case.correct, drawn, partial(_save, case, said, service))
    service.metrics.corrections.inc()
    return CorrectionAnswer.of(correction, case.spacing)


def _drawn_mask(said: CorrectionRequest, case: Case) -> np.ndarray | None:
    if said.mask_png is None:
        return None
    try:
        content = base64.b64decode(said.mask_png, validate=True)
    except ValueError:
        raise UsageError("the mask is not in base64; send a PNG's bytes in base64") from None
    way_out = f"draw it on the image, {case.width} x {case.height} px"
    if (pixels := pixel_count(content)) != case.width * case.height:  # before it is decoded
        raise UsageError(f"the mask has {pixels} pixels; {way_out}")
    drawn = read_mask(content)
    if drawn.shape != (case.height, case.width):
        height, width = drawn.shape
        raise UsageError(f"the mask is {width} x {height} px; {way_out}")
    return drawn


def _save(case: Case, said: CorrectionRequest, service: Service, mask: np.ndarray | None) -> Correction:
    """What is said, written to the server's folder where there is one; `mask` is the reader's."""
    right = case.prediction().mask if mask is None else mask
    check_correction(said.label, right)
    saved = None
    if service.settings.corrections is not None:
        if case.may_name_patient and not said.no_name:
            raise UsageError("a name may be visible in this image; check it, and confirm that there is none")
        provenance = Provenance(case.finding.label, service.model.version, _now(), mask is not None)
        saved = str(
            save_correction(
                service.settings.corrections, case.image(), right, said.label, provenance, phantom=case.phantom
            )
        )
    return Correction(said.label, saved, None if mask is None else tuple(find_lesions(mask)))


def _place(case: Case, service: Service) -> AbstractContextManager[None]:
    """In the queue of what is in memory at full size, predicted or drawn; raises `QueueFullError`."""
    return service.queue.place(case.width * case.height)


def _report(case: Case, service: Service, threshold: str | None) -> CaseReport:
    return CaseReport(
        name=case.name if case.frames == 1 else f"{case.name}, frame {case.frame + 1} of {case.frames}",
        image=case.image(),
        prediction=case.prediction(),
        model=service.model.version,
        software=f"busi_keras {__version__}",
        date=_now(),
        threshold=_threshold(service, threshold),
        spacing=case.spacing,
        scan_area=case.scan_area,
        corrected_mask=case.corrected_mask(),
        corrected_label=case.correction.label if case.correction else None,
    )


def _threshold(service: Service, name: str | None) -> Threshold | None:
    if name is None:
        return service.thresholds[0] if service.thresholds else None
    for threshold in service.thresholds:
        if threshold.name == name:
            return threshold
    raise UsageError(f"the model has no threshold {name}; it has {[t.name for t in service.thresholds] or 'none'}")


def _row(case: Case, threshold: Threshold | None, model: str) -> tuple[Any, ...]:
    found = case.finding
    readers = case.correction.lesions if case.correction else None
    lesions = found.lesions if readers is None else readers
    largest = lesions[0] if lesions else None
    size = lesion_size(largest, case.spacing) if largest else None
    return (
        f"'{case.name}" if case.name.startswith(FORMULA_STARTS) else case.name,  # a spreadsheet would run it
        case.frame + 1,
        found.label,
        *(f"{p:.6f}" for p in found.probabilities),
        *(("", "") if threshold is None else ("yes" if threshold.suspicious(found) else "no", str(threshold))),
        len(lesions),
        " ".join(map(str, _in_frame(largest.box, case))) if largest else "",
        largest.area_px if largest else "",
        *((f"{size.width:.1f}", f"{size.height:.1f}", f"{size.area:.1f}", size.unit) if size else ("",) * 4),
        case.correction.label if case.correction else "",
        f"{found.novelty:.4f}",
        "; ".join(found.warnings),
        model,
        "model" if readers is None else "reader",
        RESEARCH_USE,
    )


def _in_frame(box: tuple[int, int, int, int], case: Case) -> tuple[int, int, int, int]:
    """A box in pixels of the file's frame, as `predict` writes it."""
    left, top = case.scan_area.box[:2] if case.scan_area else (0, 0)
    x0, y0, x1, y1 = box
    return left + x0, top + y0, left + x1, top + y1


def _colours() -> np.ndarray:
    return (255 * colormaps[COLOUR_MAP](np.arange(256))[:, :3]).round().astype(np.uint8)


def _png(file: Path) -> Response:
    return Response(file.read_bytes(), media_type="image/png")


def _download(content: bytes, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers=_as_file(name))


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
