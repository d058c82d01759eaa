"""What routes are handed: the service, and the session of whoever asks."""

from typing import Annotated

from fastapi import Depends, Request

from busi_keras.web.service import Service
from busi_keras.web.sessions import NotThereError, Session


class NoSessionError(NotThereError):
    """There is no session, or it has ended."""


def service_of(request: Request) -> Service:
    """The service of the app."""
    return request.app.state.service


async def session_of(request: Request) -> Session:
    """The session of the request's cookie; raises `NoSessionError`."""
    service = service_of(request)
    session = service.sessions.find(request.cookies.get(service.settings.cookie))
    if session is None:
        raise NoSessionError("the session has ended; start a new one: POST /api/session")
    return session


TheService = Annotated[Service, Depends(service_of)]
TheSession = Annotated[Session, Depends(session_of)]
