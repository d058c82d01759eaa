"""Who may ask what: host, origin, user and password, and the headers that keep the page to itself."""

import asyncio
import base64
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from busi_keras.errors import UsageError
from busi_keras.web.sessions import Sessions

USER_VARIABLE, PASSWORD_VARIABLE = "BUSI_KERAS_USER", "BUSI_KERAS_PASSWORD"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
OPEN_TO_ALL = ("/health", "/ready", "/login", "/api/login")
OPEN_BELOW = "/static/"
PAGES = ("/", "/docs")
READING = ("GET", "HEAD", "OPTIONS")
WRONG_PASSWORD_SECONDS = 1.0

UPLOADS = ("/api/uploads", "/api/predictions")
"""These limit their bodies themselves."""
CORRECTION = "/correction"
MAX_CORRECTION_BYTES, MAX_BODY_BYTES = 16_000_000, 100_000

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Credentials:
    """The one user there is."""

    user: str
    password: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Credentials | None":
        """What `BUSI_KERAS_USER` and `BUSI_KERAS_PASSWORD` say; None where neither is set.

        Raises:
            UsageError: one of them is set without the other.
        """
        user, password = environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, "")
        if bool(user) != bool(password):
            given, missing = (USER_VARIABLE, PASSWORD_VARIABLE) if user else (PASSWORD_VARIABLE, USER_VARIABLE)
            raise UsageError(f"{given} is set, but {missing} is not; set both, or neither")
        return cls(user, password) if user else None

    def match(self, user: str, password: str) -> bool:
        """Whether these are they; takes as long for any of the same length."""
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        same_password = hmac.compare_digest(password.encode(), self.password.encode())
        return same_user and same_password


class Door:
    """Where passwords are looked at, one after another; a wrong one keeps the next waiting, whichever way it comes.

    So they cannot be guessed faster over many connections. Who is signed in does not pass here.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials, self._one_at_a_time = credentials, asyncio.Lock()

    async def opens(self, user: str, password: str) -> bool:
        """Whether they match."""
        async with self._one_at_a_time:
            matching = self._credentials.match(user, password)
            if not matching:
                await asyncio.sleep(WRONG_PASSWORD_SECONDS)
            return matching


class Guard:
    """Lets through what may pass, and puts the protecting headers on every answer.

    Args:
        app: what is guarded.
        sessions: a session that signed in needs no password with each request.
        cookie: the name of the session's cookie.
        door: looks at passwords; None to let everybody in.
        hosts: names by which the server may be called, against DNS rebinding; None for any.
    """

    def __init__(
        self,
        app: ASGIApp,
        sessions: Sessions,
        cookie: str,
        door: Door | None,
        hosts: tuple[str, ...] | None,
    ) -> None:
        self.app, self._sessions, self._cookie = app, sessions, cookie
        self._door, self._hosts = door, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = await self._refusal(scope, Headers(scope=scope))
        await (refusal or self.app)(scope, _limited(receive, _longest_body(scope["path"])), send_with_headers)

    async def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self._hosts is not None and _split(f"//{host}").hostname not in self._hosts:
            return _refuse(421, "this server does not answer to that host name")
        origin = headers.get("origin")
        if scope["method"] not in READING and origin is not None and _split(origin).netloc != host:
            return _refuse(
                403, "this request comes from another site, or a proxy does not pass on the Host that it was sent to"
            )
        path = scope["path"]
        longest = _longest_body(path)
        announced = headers.get("content-length", "0")
        if longest is not None and announced.isdecimal() and int(announced) > longest:
            return _refuse(413, _too_long(longest))
        if self._door is None or path in OPEN_TO_ALL or path.startswith(OPEN_BELOW):
            return None
        if self._signed_in(headers) or await self._has_password(headers, self._door):
            return None
        if path in PAGES:
            return RedirectResponse("/login", 303)
        return _refuse(401, "sign in first", {"WWW-Authenticate": 'Session realm="busi_keras"'})

    def _signed_in(self, headers: Headers) -> bool:
        token = cookie_parser(headers.get("cookie", "")).get(self._cookie)
        session = self._sessions.find(token)
        return session is not None and session.signed_in

    async def _has_password(self, headers: Headers, door: Door) -> bool:
        """As `curl --user` and Prometheus send it."""
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return False
        return await door.opens(user, password)


def open_to_others(host: str, credentials: Credentials | None) -> str | None:
    """What to say of a server that other machines reach and that asks for no password; None where there is no such."""
    if credentials is not None or allowed_hosts(host) is not None:
        return None
    return (
        f"whoever reaches {host} over the network gets in without a password; set {USER_VARIABLE} and "
        f"{PASSWORD_VARIABLE}"
    )


def allowed_hosts(host: str) -> tuple[str, ...] | None:
    """By which names a server that listens on `host` may be called; None for any, where other machines reach it."""
    return LOOPBACK if host in LOOPBACK else None


def _split(address: str) -> SplitResult:
    """An address in its parts; all of them empty where it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _longest_body(path: str) -> int | None:
    if path in UPLOADS:
        return None
    return MAX_CORRECTION_BYTES if path.endswith(CORRECTION) else MAX_BODY_BYTES


def _limited(receive: Receive, longest: int | None) -> Receive:
    """What is received, up to so many bytes of a body; with more of them the request ends in 413."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if longest is not None and received > longest:
            raise HTTPException(413, _too_long(longest))
        return message

    return receive_limited


def _too_long(longest: int) -> str:
    return f"this request is over {longest} bytes; send less"


def _refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": sentence}, status, headers)
