"""Which files a list of paths means, and what their results are called."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from busi_keras.data.busi import is_mask, natural_order
from busi_keras.dicom.detection import SUFFIXES as DICOM_SUFFIXES
from busi_keras.dicom.detection import is_dicom
from busi_keras.errors import UsageError
from busi_keras.files import visible_files
from busi_keras.imaging import SUFFIXES

LONGEST_NAME = 200
"""In bytes: file systems take 255, of which endings and the names of unfinished files want some."""
_RESULT_STEM = re.compile(r".+_(overlay|gradcam)|contact_sheet_\d+")
_DICOM_RESULT = re.compile(r"[0-9a-f]{16}(_\d+)?_(seg|sr|sc)\.dcm")


def image_files(paths: Sequence[Path], dicom: bool = False) -> list[Path]:
    """Files as they are; a folder's image files, also in folders below it, but for hidden ones, `_mask` files and what
    `predict` and `gradcam` write.

    Args:
        dicom: whether a folder's DICOM files are meant, too.

    Raises:
        UsageError: a path does not exist, or a folder holds no image.
    """
    files = []
    for path in paths:
        if path.is_dir():
            found = [file for file in visible_files(path) if _is_image(file, dicom)]
            if not found:
                suffixes = ", ".join((*SUFFIXES, *DICOM_SUFFIXES) if dicom else SUFFIXES)
                raise UsageError(f"{path} holds no image ({suffixes}); name another folder, or files")
            files += sorted(found, key=lambda file: natural_order(str(file)))
        elif path.exists():
            files.append(path)
        else:
            raise UsageError(f"{path} does not exist; name image files or folders")
    return list(dict.fromkeys(files))


def output_names(files: Sequence[Path]) -> dict[Path, str]:
    """A name for each file's results: its stem, with as many of its folders as tell it from the others; one that is too
    long for a file's name is cut, and ends in digits of its hash."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in files:
        parts = [path.stem]
        folders = [part for part in path.parts[:-1] if part not in (path.anchor, "..", ".")]
        while "_".join(parts).casefold() in taken and folders:
            parts.insert(0, folders.pop())
        name = stem = _short("_".join(parts))
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.casefold())  # some disks do not tell cases apart
        names[path] = name
    return names


def _short(stem: str) -> str:
    name = os.fsencode(stem)
    if len(name) <= LONGEST_NAME:
        return stem
    digest = hashlib.sha256(name).hexdigest()[:12]
    return f"{name[: LONGEST_NAME - 13].decode(errors='ignore')}_{digest}"


def _is_image(path: Path, dicom: bool) -> bool:
    is_picture = path.suffix.lower() in SUFFIXES and not is_mask(path) and not _RESULT_STEM.fullmatch(path.stem)
    return is_picture or (dicom and not _DICOM_RESULT.fullmatch(path.name) and is_dicom(path))
