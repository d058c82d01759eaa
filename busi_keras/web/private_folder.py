"""Where uploads lie while a session lasts: a folder nobody else can read, in memory where the system has such a place.

It is removed when the server ends. What a killed server left is removed by the next one that starts: each server holds
a lock on its folder, and a folder whose lock is free belongs to nobody any more.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from busi_keras.errors import UsageError

TMPFS = Path("/dev/shm")
OWNER_ONLY = 0o700
_LOCK = ".lock"


class PrivateFolder:
    """A server's folder, mode 0700, and in it one folder a session.

    Args:
        parent: where it is made; None for tmpfs where there is one, else the system's folder for temporary files.

    Raises:
        UsageError: somebody else owns the folder of that name, or it cannot be made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        root = (parent or _parent()) / f"busi_keras-{os.getuid()}"
        _own(root)
        with _locked(root / _LOCK):
            _sweep(root)
            self.path = Path(tempfile.mkdtemp(prefix="server-", dir=root))
            self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def new_session(self) -> Path:
        """An empty folder, mode 0700."""
        return Path(tempfile.mkdtemp(prefix="session-", dir=self.path))

    def free_bytes(self) -> int:
        """What still fits."""
        return shutil.disk_usage(self.path).free

    def remove(self) -> None:
        """Removes all that is in it, and the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _parent() -> Path:
    return TMPFS if TMPFS.is_dir() and os.access(TMPFS, os.W_OK) else Path(tempfile.gettempdir())


def _own(root: Path) -> None:
    """Makes the folder, or takes the one that is there where it is ours: others may write beside it."""
    try:
        root.mkdir(mode=OWNER_ONLY, exist_ok=True)
        found = root.lstat()
    except OSError as error:
        raise UsageError(f"{root} for uploads cannot be made ({error.strerror}); remove what lies there") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UsageError(f"{root} for uploads belongs to somebody else; have it removed")
    root.chmod(OWNER_ONLY)


def _sweep(root: Path) -> None:
    for folder in root.glob("server-*"):
        with _lock_of(folder) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock_of(folder: Path) -> Iterator[bool]:
    """Whether nobody holds a folder's lock."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:  # killed before it had one
        yield True
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
