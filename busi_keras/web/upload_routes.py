"""Files come in, one request each, and their frames become cases; or are predicted and forgotten."""

import asyncio
import base64
import secrets
import shutil
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import numpy as np
from fastapi import APIRouter, Header, Request

from busi_keras.errors import UsageError
from busi_keras.imaging import encode_png
from busi_keras.inference.predictor import Prediction
from busi_keras.web.answers import CaseAnswer, ErrorAnswer, FindingAnswer, PredictionAnswer, UploadAnswer
from busi_keras.web.case import Case, Origin
from busi_keras.web.dependencies import NoSessionError, TheService, TheSession
from busi_keras.web.frames import Frame, open_frames
from busi_keras.web.service import Service, in_thread, unless_left
from busi_keras.web.sessions import Arriving, NotThereError, Session, Upload, shown_name

SILENCE_SECONDS = 30
MAX_FRAMES_AT_ONCE = 16
CASE_BYTES_A_PIXEL = 2
"""What a case takes, about: image and maps, as PNG."""

FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file's bytes: PNG, JPEG, BMP, GIF, TIFF, or ultrasound in DICOM.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
BAD_FILE: dict[int | str, dict[str, Any]] = {
    413: {"model": ErrorAnswer, "description": "The file is larger than the server takes."},
    422: {"model": ErrorAnswer, "description": "It is not an image, or is of a kind that is refused."},
    503: {"model": ErrorAnswer, "description": "Too many images are waiting; ask again after `Retry-After` seconds."},
    507: {"model": ErrorAnswer, "description": "The session or the server is full."},
}

router = APIRouter()


class TooLargeError(Exception):
    """A file has more bytes than the server takes."""


class BrokenOffError(Exception):
    """A file stopped coming."""


@router.post("/api/uploads", status_code=201, responses=BAD_FILE, openapi_extra=FILE_BODY, tags=["cases"])
async def upload(
    request: Request,
    service: TheService,
    session: TheSession,
    x_file_name: Annotated[str, Header(description="What to show it as, percent-encoded.")] = "",
) -> UploadAnswer:
    """Take a file. It stays in the session until its frames were asked for, or none of them for two minutes."""
    key = secrets.token_urlsafe(12)
    file = session.folder / f"{key}.upload"
    with service.sessions.room(session, _announced_bytes(request, service)) as arriving:
        try:
            await _receive(request, service, arriving, file)
            frames = await in_thread(open_frames, file)
            _check_lives(service, session)
            session.uploads[key] = Upload(shown_name(unquote(x_file_name)), file, frames, file.stat().st_size)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
    return UploadAnswer(key, frames.count)


@router.post("/api/uploads/{key}/frames/{index}", status_code=201, responses=BAD_FILE, tags=["cases"])
async def predict_frame(key: str, index: int, request: Request, service: TheService, session: TheSession) -> CaseAnswer:
    """Predict one frame of an uploaded file, from 0: it becomes a case."""
    given = session.upload(key)
    if not 0 <= index < given.frames.count:
        raise NotThereError(f"this file has {given.frames.count} frames, counted from 0")
    if index in given.done | given.under_way:
        raise NotThereError("this frame was asked for already; see the session's cases")
    with service.sessions.asking(given, index):
        return await unless_left(request, _add_case(key, given, index, service, session))


@router.delete("/api/uploads/{key}", status_code=204, tags=["cases"])
async def forget_upload(key: str, session: TheSession) -> None:
    """Remove a file whose frames are not needed any more."""
    session.remove_upload(key)


@router.post("/api/predictions", responses=BAD_FILE, openapi_extra=FILE_BODY, tags=["predictions"])
async def predict_file(request: Request, service: TheService) -> list[PredictionAnswer]:
    """Predict a file and forget it: an answer for each frame, of 16 at most. Needs no session."""
    session = service.sessions.start()
    try:
        file = session.folder / "upload"
        with service.sessions.room(session, _announced_bytes(request, service)) as arriving:
            await _receive(request, service, arriving, file)
            frames = await in_thread(open_frames, file)
            if frames.count > MAX_FRAMES_AT_ONCE:
                raise UsageError(f"this file has {frames.count} frames, over {MAX_FRAMES_AT_ONCE}; use /api/uploads")
            answers = []
            for index in range(frames.count):
                async with service.predicted(frames, index) as (frame, found):
                    answers.append(await in_thread(_answer, frame, found, index, service.model.version))
            return answers
    finally:
        service.sessions.end(session)


async def _add_case(key: str, given: Upload, index: int, service: Service, session: Session) -> CaseAnswer:
    try:
        with service.sessions.room(session, CASE_BYTES_A_PIXEL * given.frames.pixels):
            case = await _predict(given, index, service, session)
            session.cases[case.key] = case
    except UsageError:
        if not given.file.exists():
            raise NotThereError("this upload has since been removed; drop the file again") from None
        session.frame_done(key, index)
        raise
    session.frame_done(key, index)
    return CaseAnswer.of(case, service.model.version)


async def _predict(given: Upload, index: int, service: Service, session: Session) -> Case:
    async with service.predicted(given.frames, index) as (frame, found):
        origin = Origin(given.name, index, given.frames.count)
        folder = session.folder / secrets.token_urlsafe(12)
        try:
            case = await in_thread(_store, frame, found, origin, folder, service)
            _check_lives(service, session)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return case


def _store(frame: Frame, found: Prediction, origin: Origin, folder: Path, service: Service) -> Case:
    return Case.store(frame, found, service.examples.include(frame.image), origin, folder)


def _check_lives(service: Service, session: Session) -> None:
    """Work in a thread may outlast its session; then nothing of it stays."""
    if not service.sessions.lives(session):
        shutil.rmtree(session.folder, ignore_errors=True)
        raise NoSessionError("the session has ended; drop the image again")


def _answer(frame: Frame, found: Prediction, index: int, model: str) -> PredictionAnswer:
    height, width = frame.image.shape[:2]
    heat_map = None if found.heat_map is None else np.rint(255 * found.heat_map).astype(np.uint8)
    return PredictionAnswer(
        index,
        FindingAnswer.of(found, width, height, frame.spacing, frame.scan_area, model, frame.warnings),
        _base64(encode_png(found.mask)),
        None if heat_map is None else _base64(encode_png(heat_map)),
    )


def _announced_bytes(request: Request, service: Service) -> int:
    announced = request.headers.get("content-length", "0")
    announced_bytes = int(announced) if announced.isdecimal() else 0
    if announced_bytes > service.settings.max_upload_bytes:
        raise TooLargeError(_too_large(service.settings.max_upload_bytes))
    return announced_bytes


async def _receive(request: Request, service: Service, arriving: Arriving, file: Path) -> None:
    """Writes a request's body to a file, and gives up where it grows too large or stops coming."""
    limit = service.settings.max_upload_bytes
    chunks, received, complete = aiter(request.stream()), 0, False
    try:
        with file.open("xb") as stream:
            while (chunk := await asyncio.wait_for(anext(chunks, None), SILENCE_SECONDS)) is not None:
                received += len(chunk)
                if received > limit:
                    raise TooLargeError(_too_large(limit))
                service.sessions.grown(arriving, received)
                stream.write(chunk)
        complete = True
    except TimeoutError:
        raise BrokenOffError("the upload was interrupted; drop the file again") from None
    finally:
        if not complete:
            file.unlink(missing_ok=True)


def _too_large(limit: int) -> str:
    return f"this file is over {limit // 1_000_000} MB; make it smaller, or start the server with a larger --max-upload"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
