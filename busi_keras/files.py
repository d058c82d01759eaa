"""Files that are whole or not there: written beside their name, flushed, and renamed."""

import errno
import functools
import glob
import os
import re
import shutil
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from busi_keras.errors import UnwritableError, UsageError

if sys.platform != "win32":
    import fcntl

UTF8: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
"""How text is written and read: names of files that are not UTF-8 stay what they are."""

_UNREADABLE = (errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; on leaving, what lies there takes `path`'s place in one step.

    Where the block fails, the old file stays and what was written goes.

    Raises:
        UnwritableError: the disk is full, or `path` cannot be written to.
    """
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(part, glob.escape(path.name), _left_in(part.parent))
        yield part
        with part.open("r+b") as written:  # Windows flushes only what may be written to
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        raise _readable(error, path) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a new folder: the block fills a hidden folder that is renamed to `path` at the end.

    Raises:
        UnwritableError: the disk is full, or `path` cannot be written to.
        UsageError: it exists and is not an empty folder.
    """
    taken = UsageError(f"{path} exists already; name a new folder, or remove it first")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise taken
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(part, glob.escape(path.name))
        part.mkdir()
        yield part
        part.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise taken from None
        raise _readable(error, path) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def add_numbered_folder(parent: Path, fill: Callable[[Path], None]) -> Path:
    """Adds the folder `parent/1`, or the number after the largest there is, which appears at once, when it is filled.

    Processes that add at the same time get different numbers.

    Args:
        fill: puts something into the empty folder that it is given, hidden beside the others.

    Returns:
        The new folder.

    Raises:
        UsageError: the disk is full, or `parent` cannot be written to or is a file.
    """
    if parent.exists() and not parent.is_dir():
        raise UsageError(f"{parent} is a file; name a folder")
    part = _part(parent / f"new-{uuid.uuid4().hex}")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(part, "new-*")
        part.mkdir()
        fill(part)
        while True:
            path = parent / str(_next_number(parent))
            try:
                return part.replace(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else another process was faster
                    raise
    except OSError as error:
        raise _readable(error, parent) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def visible_files(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those below it, but for hidden ones and what lies in hidden folders."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for name in files if not name.startswith(".") and (path := Path(parent, name)).is_file())


@contextmanager
def held(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keeps others that hold it, too, out of a folder, which is made where it is not there.

    Any end of the process frees it. New folders that stay empty are removed. On Windows and on file systems without
    locks everybody gets in.

    Args:
        wait: until nobody else holds it.

    Raises:
        UsageError: another process holds it, and this one is not to wait.
        UnwritableError: it cannot be made.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = None if sys.platform == "win32" else os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _readable(error, folder) from None
    try:
        if lock is not None:
            with suppress(OSError):
                _lock(lock, folder, wait)
        yield
    finally:
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # it is not empty
            for path in new:
                path.rmdir()


def require_writable(folder: Path) -> None:
    """Before work of minutes whose results go there.

    Raises:
        UsageError: nothing can be written into the folder.
    """
    probe = _part(folder / "probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to ({error.strerror}); copy it to a folder of your own") from None


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, **UTF8)


def verify_archive(path: Path) -> None:
    """Reads the whole of a zip archive (`.npz` and `.keras` are such) against its checksums.

    Raises:
        ValueError: it is damaged, or not there.
        UsageError: it cannot be read now, which says nothing of what is in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a flipped bit in a header makes zipfile raise whatever it meets
        if isinstance(error, OSError) and error.errno in _UNREADABLE:
            raise UsageError(f"{path} cannot be read ({error.strerror}); fix that and try again") from None
        raise ValueError(f"{path} is damaged: {error}") from error
    if damaged:
        raise ValueError(f"{path} is damaged: the checksum of {damaged} is wrong")


def unfinished(path: Path) -> bool:
    """Whether a file is what a killed process left of one that it was writing."""
    return re.fullmatch(r"\.\d+\..+", path.name) is not None


def _lock(descriptor: int, folder: Path, wait: bool) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise UsageError(
            f"another process is at work in {folder}; wait until it ends, or name another folder"
        ) from None


def _part(path: Path) -> Path:
    return path.with_name(f".{os.getpid()}.{path.name}")


def _sweep(part: Path, pattern: str, left_over: Iterable[Path] | None = None) -> None:
    """Removes what lies at `part`, and what processes that are no more left of names that match the pattern.

    Args:
        left_over: where that is looked for; None for the folder.
    """
    found = part.parent.glob(".*") if left_over is None else left_over
    for left in (part, *(left for left in found if unfinished(left) and left.match(f".*.{pattern}"))):
        if left == part or not _alive(int(left.name.split(".")[1])):
            shutil.rmtree(left, ignore_errors=True)
            left.unlink(missing_ok=True)


@functools.cache
def _left_in(folder: Path) -> tuple[Path, ...]:
    """Unfinished files and folders, as they were when this process first wrote here: to list a folder of thousands of
    images for each of them would take longer than to write them."""
    return tuple(path for path in folder.glob(".*") if unfinished(path))


def _alive(process: int) -> bool:
    if sys.platform == "win32":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _next_number(parent: Path) -> int:
    numbers = (int(path.name) for path in parent.iterdir() if re.fullmatch(r"\d+", path.name))
    return 1 + max(numbers, default=0)


def _readable(error: OSError, path: Path) -> Exception:
    """The error in words for the user where it is about writing; else the error itself."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnwritableError(f"the disk is full, so {path} was not written; free some space and run the same again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return UnwritableError(f"{path} cannot be written ({error.strerror}); name another place")
    return error
