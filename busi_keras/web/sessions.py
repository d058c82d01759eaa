"""Who is using the page: a session holds uploads and cases, and everything of it goes when it ends."""

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from busi_keras.web.case import Case
from busi_keras.web.frames import Frames
from busi_keras.web.private_folder import PrivateFolder

IDLE_SECONDS = 1800.0
IDLE_UPLOAD_SECONDS = 120.0
"""A page asks for the next frame at once; a reload in the middle of a cine leaves a file nobody knows of any more."""
MAX_SESSIONS = 200
MAX_CASES = 2000
MAX_STORED_BYTES = 2_000_000_000
SHARE_OF_FREE_SPACE = 0.5
LONGEST_NAME = 200


class NotThereError(Exception):
    """What was asked for does not exist in this session, or no more."""


class NoRoomError(Exception):
    """As much is stored as may be; the message says how to get on."""


@dataclass
class Upload:
    """A file that was uploaded and whose frames are asked for one after another.

    Attributes:
        name: what the user's machine calls it; shown as text, never used as a path.
        done: frames that became cases, or cannot.
        under_way: frames that are being predicted.
        asked: when a frame was asked for last, in seconds of the monotonic clock.
    """

    name: str
    file: Path
    frames: Frames
    stored_bytes: int
    done: set[int] = field(default_factory=set)
    under_way: set[int] = field(default_factory=set)
    asked: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Arriving:
    """What is on its way into a session's folder.

    Attributes:
        stored_bytes: what it takes of the folder, or will take.
    """

    stored_bytes: int


@dataclass
class Session:
    """One browser's uploads and cases.

    Attributes:
        token: what the browser's cookie holds.
        folder: only this session's.
        signed_in: whether its user gave the password.
        seen: when it was used last, in seconds of the monotonic clock.
    """

    token: str
    folder: Path
    signed_in: bool
    seen: float
    uploads: dict[str, Upload] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    arriving: list[Arriving] = field(default_factory=list)

    def upload(self, key: str) -> Upload:
        """An upload; raises `NotThereError`."""
        if key not in self.uploads:
            raise NotThereError("this upload no longer exists; drop the file again")
        return self.uploads[key]

    def case(self, key: str) -> Case:
        """A case; raises `NotThereError`."""
        if key not in self.cases:
            raise NotThereError("this case no longer exists; drop the image again")
        return self.cases[key]

    def remove_upload(self, key: str) -> None:
        """Removes a file whose frames are not needed any more."""
        upload = self.uploads.pop(key, None)
        if upload is not None:
            upload.file.unlink(missing_ok=True)

    def remove_uploads_idle_since(self, moment: float) -> None:
        """Removes the files of which no frame is under way, and none was asked for since a moment."""
        for key, upload in list(self.uploads.items()):
            if not upload.under_way and upload.asked < moment:
                self.remove_upload(key)

    def frame_done(self, key: str, index: int) -> None:
        """Notes that a frame was predicted, or cannot be; after the last one the file goes."""
        upload = self.uploads.get(key)
        if upload is not None:
            upload.done.add(index)
            if len(upload.done) == upload.frames.count:
                self.remove_upload(key)

    @property
    def stored_bytes(self) -> int:
        """What it takes of the folder, with what is on its way."""
        held: list[Upload | Case | Arriving] = [*self.uploads.values(), *self.cases.values(), *self.arriving]
        return sum(one.stored_bytes for one in held)


class Sessions:
    """All sessions of a server. Not for several threads: the event loop's alone.

    Args:
        folder: where they keep their files.
        idle_seconds: a session that was not used for so long ends.
        clock: seconds.
    """

    def __init__(
        self,
        folder: PrivateFolder,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._idle_seconds, self._clock = folder, idle_seconds, clock
        self._limit = min(MAX_STORED_BYTES, int(SHARE_OF_FREE_SPACE * folder.free_bytes()))
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def stored_bytes(self) -> int:
        """What all of them take."""
        return sum(session.stored_bytes for session in self._sessions.values())

    def find(self, token: str | None) -> Session | None:
        """The session of a cookie, which is used now; None where there is none, or none any more."""
        session = self._sessions.get(token or "")
        if session is not None:
            session.seen = self._clock()
        return session

    def start(self, signed_in: bool = False) -> Session:
        """A new session; raises `NoRoomError` where there are too many."""
        self.end_idle()
        if len(self._sessions) >= MAX_SESSIONS:
            raise NoRoomError("too many people are using this server; try again later")
        session = Session(secrets.token_urlsafe(32), self._folder.new_session(), signed_in, self._clock())
        self._sessions[session.token] = session
        return session

    def require_room(self, session: Session, size: int) -> None:
        """Raises `NoRoomError` where a file of that size does not fit."""
        if max(len(session.cases), len(session.uploads)) + len(session.arriving) >= MAX_CASES:
            raise NoRoomError(f"{MAX_CASES} images are open; remove some, or end the session")
        self.require_bytes(size)

    @contextmanager
    def room(self, session: Session, size: int) -> Iterator[Arriving]:
        """Keeps room for so many bytes while the block runs; raises `NoRoomError`, see `require_room`."""
        self.require_room(session, size)
        one = Arriving(size)
        session.arriving.append(one)
        try:
            yield one
        finally:
            session.arriving.remove(one)

    def grown(self, one: Arriving, size: int) -> None:
        """Notes that it takes so many bytes by now, where that is more; raises `NoRoomError` where it does not fit."""
        if size > one.stored_bytes:
            self.require_bytes(size - one.stored_bytes)
            one.stored_bytes = size

    @contextmanager
    def asking(self, upload: Upload, index: int) -> Iterator[None]:
        """Notes that a frame is under way while the block runs."""
        upload.under_way.add(index)
        try:
            yield
        finally:
            upload.under_way.discard(index)
            upload.asked = self._clock()

    def lives(self, session: Session) -> bool:
        """Whether a session did not end yet; this is no use of it."""
        return self._sessions.get(session.token) is session

    def require_bytes(self, more: int) -> None:
        """Raises `NoRoomError` where so many bytes more do not fit."""
        if self.stored_bytes + more > self._limit:
            raise NoRoomError("the server's memory for images is full; remove some, or end the session")

    def end(self, session: Session) -> None:
        """Ends a session: nothing of it stays."""
        self._sessions.pop(session.token, None)
        shutil.rmtree(session.folder, ignore_errors=True)

    def end_idle(self) -> None:
        """Ends the sessions that nobody uses any more; in the others, uploads that nobody asks for go."""
        now = self._clock()
        for session in list(self._sessions.values()):
            if now - session.seen > self._idle_seconds:
                self.end(session)
            else:
                session.remove_uploads_idle_since(now - IDLE_UPLOAD_SECONDS)


def shown_name(given: str) -> str:
    """A file's name as it may be shown: without the folders before it, control characters, and all beyond 200."""
    name = given.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in name if c.isprintable())[:LONGEST_NAME].strip() or "unnamed"
