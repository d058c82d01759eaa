"""The web application: routes, what goes around them, and how errors become answers."""

import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from busi_keras import __version__
from busi_keras.card import RESEARCH_USE
from busi_keras.data.corrections import UnreadableIndexError
from busi_keras.errors import UnwritableError, UsageError
from busi_keras.web import case_routes, server_routes, upload_routes
from busi_keras.web.access import HEADERS, Guard
from busi_keras.web.dependencies import NoSessionError
from busi_keras.web.metrics import Measured
from busi_keras.web.prediction_queue import QueueFullError
from busi_keras.web.served_model import ServedModel
from busi_keras.web.service import NotReadyError, Service, Settings
from busi_keras.web.sessions import NoRoomError, NotThereError
from busi_keras.web.upload_routes import BrokenOffError, TooLargeError

log = logging.getLogger(__name__)
DESCRIPTION = f"""Breast-ultrasound analysis: outline, class, heat map, report. **{RESEARCH_USE}**

`POST /api/predictions` takes an image and keeps nothing. The page itself uses a session (`POST /api/session`, a
cookie), which holds uploads and cases until it ends. Errors are `{{"error": "a sentence"}}`."""
MODEL_LOADING_SECONDS = 2
CLIENT_CLOSED_REQUEST = 499


def create_app(model: ServedModel, settings: Settings) -> FastAPI:
    """The application for a model that is loaded, or on its way.

    Raises:
        UsageError: the private folder cannot be made.
    """
    service = Service(model, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="busi_keras",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages come from a CDN
        redoc_url=None,
        telemetry={
            "auto_configure": False,
            "tracing": False,
            "metrics": False,
            "logs": False,
        },  # whatever the environment
    )
    app.state.service = service
    app.include_router(server_routes.router)
    app.include_router(upload_routes.router)
    app.include_router(case_routes.router)
    app.mount("/static", StaticFiles(directory=server_routes.STATIC))
    app.add_middleware(
        Guard,
        sessions=service.sessions,
        cookie=settings.cookie,
        door=service.door,
        hosts=settings.hosts,
    )
    app.add_middleware(Measured, metrics=service.metrics)
    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Each error becomes a status and a sentence; none of them says anything that was not asked."""
    statuses: dict[type[Exception], int] = {
        UsageError: 422,
        TooLargeError: 413,
        BrokenOffError: 408,
        NotThereError: 404,
        NoSessionError: 410,
        NoRoomError: 507,
    }
    for kind, status in statuses.items():
        app.add_exception_handler(kind, _sentence(status))

    @app.exception_handler(QueueFullError)
    async def queue_full(request: Request, error: QueueFullError) -> Response:
        return _error(503, str(error), {"Retry-After": str(error.retry_after)})

    @app.exception_handler(NotReadyError)
    async def not_ready(request: Request, error: NotReadyError) -> Response:
        return _error(503, str(error), {"Retry-After": str(MODEL_LOADING_SECONDS)})

    @app.exception_handler(OSError)
    async def storage(request: Request, error: OSError) -> Response:
        if isinstance(error, FileNotFoundError):
            return _error(404, "this image has since been removed")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _error(507, "the server's memory for images is full; remove some, or end the session")
        raise error

    @app.exception_handler(UnwritableError)
    async def unwritable(request: Request, error: UnwritableError) -> Response:
        log.error("%s", error)
        return _error(507, "the server's disk is full or not writable: nothing was saved; tell its operator")

    @app.exception_handler(UnreadableIndexError)
    async def unreadable(request: Request, error: UnreadableIndexError) -> Response:
        log.error("%s", error)
        return _error(500, "the server's folder of corrections is damaged: nothing was saved; tell its operator")

    @app.exception_handler(ClientDisconnect)
    async def left(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    @app.exception_handler(RequestValidationError)
    async def wrong_request(request: Request, error: RequestValidationError) -> Response:
        where = ", ".join(sorted({".".join(map(str, one["loc"])) for one in error.errors()}))
        return _error(422, f"the request does not match openapi.json: {where}")

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return _error(error.status_code, str(error.detail).lower(), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        sentence = "something went wrong on the server (its log has details); you can keep using the page"
        return _error(500, sentence, HEADERS)  # this answer passes no middleware


def _sentence(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        return _error(status, str(error))

    return answer


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": sentence}, status, headers)
