"""The server itself: its pages, whether it is well, who is signed in, and the model behind it."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from busi_keras import __version__
from busi_keras.inference.predictor import TRAINED_ON_PHANTOMS
from busi_keras.web.answers import ErrorAnswer, HealthAnswer, ModelAnswer, ReadyAnswer, SignIn
from busi_keras.web.dependencies import TheService, TheSession
from busi_keras.web.served_model import READY
from busi_keras.web.service import Service
from busi_keras.web.sessions import NotThereError, Session

STATIC = Path(__file__).parent / "static"

router = APIRouter()


@router.get("/", include_in_schema=False)
def page() -> FileResponse:
    """The page."""
    return FileResponse(STATIC / "index.html")


@router.get("/login", include_in_schema=False)
def login_page() -> FileResponse:
    """Where one signs in."""
    return FileResponse(STATIC / "login.html")


@router.get("/docs", include_in_schema=False)
def docs_page() -> FileResponse:
    """`openapi.json` for people."""
    return FileResponse(STATIC / "docs.html")


@router.get("/health", tags=["server"])
def health() -> HealthAnswer:
    """The server runs."""
    return HealthAnswer()


@router.get("/ready", responses={503: {"model": ReadyAnswer}}, tags=["server"])
def ready(service: TheService, response: Response) -> ReadyAnswer:
    """The model is loaded: 200; else 503."""
    state = service.model.state
    if state != READY:
        response.status_code = 503
        return ReadyAnswer(state)
    return ReadyAnswer(state, service.model.file_change())


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}}, response_class=Response, tags=["server"])
async def metrics(service: TheService) -> Response:
    """What Prometheus reads."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/model", responses={503: {"model": ErrorAnswer}}, tags=["server"])
def model(service: TheService) -> ModelAnswer:
    """The model behind the page: which one, its thresholds and scores, and what to know about it."""
    service.require_ready()
    card, change = service.model.card, service.model.file_change()
    return ModelAnswer(
        version=service.model.version,
        approach=card.approach,
        backbone=card.backbone,
        data=card.data,
        date=card.date,
        scored=card.scored,
        scores={name: value for name, value in card.scores.items() if isinstance(value, int | float | None)},
        thresholds={threshold.name: threshold.value for threshold in service.thresholds},
        operating=card.operating,
        warnings=[TRAINED_ON_PHANTOMS] if card.phantom else [],
        notices=[change] if change else [],
        examples=[example.name for example in service.examples.all],
        corrections=service.settings.corrections is not None,
        max_upload_bytes=service.settings.max_upload_bytes,
        idle_seconds=service.settings.idle_seconds,
        signed_in=service.settings.credentials is not None,
        software=f"busi_keras {__version__}",
    )


@router.get("/api/examples/{index}.png", responses={200: {"content": {"image/png": {}}}}, tags=["server"])
def example(index: int, service: TheService) -> Response:
    """A phantom to try the page with."""
    if not 0 <= index < len(service.examples.all):
        raise NotThereError(f"there are {len(service.examples.all)} examples, counted from 0")
    return Response(service.examples.all[index].png, media_type="image/png")


@router.post("/api/login", status_code=204, responses={401: {"model": ErrorAnswer}}, tags=["session"])
async def sign_in(given: SignIn, request: Request, service: TheService) -> Response:
    """Sign in: starts a session; who is signed in already keeps theirs, with all that is in it."""
    if service.door is not None and not await service.door.opens(given.user, given.password):
        return JSONResponse({"error": "this user and password do not match; try again"}, 401)
    return _started(service, request, signed_in=True)


@router.get("/api/session", status_code=204, responses={410: {"model": ErrorAnswer}}, tags=["session"])
def keep_session(session: TheSession) -> None:
    """Keep the session alive: 204; 410 if it has ended."""


@router.post("/api/session", status_code=204, tags=["session"])
async def start_session(request: Request, service: TheService) -> Response:
    """Start a session, or keep the one there is: it holds uploads and cases until it ends."""
    return _started(service, request, signed_in=False)


@router.delete("/api/session", status_code=204, tags=["session"])
async def end_session(service: TheService, session: TheSession) -> Response:
    """End the session: all of its images are deleted."""
    service.sessions.end(session)
    response = Response(status_code=204)
    response.delete_cookie(service.settings.cookie, samesite="strict", httponly=True)
    return response


def _started(service: Service, request: Request, signed_in: bool) -> Response:
    before: Session | None = service.sessions.find(request.cookies.get(service.settings.cookie))
    if before is not None and (before.signed_in or not signed_in):
        return Response(status_code=204)
    if before is not None:  # its token was given out before the password, perhaps to another
        service.sessions.end(before)
    session = service.sessions.start(signed_in)
    options: dict[str, Any] = {"httponly": True, "samesite": "strict", "secure": request.url.scheme == "https"}
    response = Response(status_code=204)
    response.set_cookie(service.settings.cookie, session.token, **options)
    return response
