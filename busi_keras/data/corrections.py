"""What readers correct, in BUSI's layout: `DIR/malignant/malignant (3).png` and its mask, ready for the next training.

Corrections of phantoms go to `DIR/phantoms/`, which says of itself what it is: synthetic images never get among real
ones unnoticed. `corrections.json` notes where each pair comes from.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.config import CLASSES, NORMAL
from busi_keras.data.phantom_set import INFO_FILE
from busi_keras.errors import UsageError
from busi_keras.files import held, replacing, write_text
from busi_keras.imaging import encode_png, pixels_digest, read_image

INDEX_FILE = "corrections.json"
PHANTOMS_FOLDER = "phantoms"

_one_at_a_time = threading.Lock()


class UnreadableIndexError(UsageError):
    """What was noted of earlier corrections cannot be read: it is damaged, or may not be opened."""


@dataclass(frozen=True)
class Provenance:
    """What was said before it was corrected, and by whom the mask is.

    Attributes:
        predicted: the class that the model gave.
        model: which model that was.
        date: of the correction, ISO 8601.
        mask_drawn: whether a reader drew the mask; else it is the model's, and only the class was looked at. None where
            that is not known: then it is not noted.
    """

    predicted: str
    model: str
    date: str
    mask_drawn: bool | None = None


def check_correction(label: str, mask: np.ndarray) -> None:
    """Refuses a class and a mask that do not go together in BUSI's layout.

    Args:
        label: one of `CLASSES`.
        mask: bool `(height, width)`.

    Raises:
        UsageError: there is no such class, a normal image has a lesion outlined, or another one has none.
    """
    if label not in CLASSES:
        raise UsageError(f"the class is {label}; it must be one of {', '.join(CLASSES)}")
    if label == CLASSES[NORMAL] and mask.any():
        raise UsageError("a normal image has no lesion; erase the mask, or choose another class")
    if label != CLASSES[NORMAL] and not mask.any():
        raise UsageError(f"a {label} image has a lesion; draw its mask, or choose normal")


def save_correction(
    folder: Path, image: np.ndarray, mask: np.ndarray, label: str, provenance: Provenance, phantom: bool = False
) -> Path:
    """Writes an image and its mask; a pair of the same pixels that was saved before gives way, if it is still there.

    Who saves to the same folder at the same time waits; on Windows, who does so in the same process.

    Args:
        folder: in BUSI's layout; made where it does not exist.
        image: uint8 `(height, width, 3)`.
        mask: bool `(height, width)`.
        label: one of `CLASSES`, fitting the mask as `check_correction` says.
        phantom: whether the image is synthetic.

    Returns:
        The image's path, relative to `folder`.

    Raises:
        UnwritableError: the folder cannot be written to, or the disk is full; nothing of a new pair stays, and an old
            one is as it was.
        UnreadableIndexError: `corrections.json` cannot be read; nothing was written.
        UsageError: class and mask do not go together.
    """
    check_correction(label, mask)
    with _one_at_a_time, held(folder, wait=True):
        target = folder / PHANTOMS_FOLDER if phantom else folder
        pixels = pixels_digest(image)
        index = _read_index(target)
        before = _before(target, index, pixels)
        file = before if before is not None and before.parent.name == label else _new_name(target / label, label)
        known = {name: value for name, value in asdict(provenance).items() if value is not None}
        index[pixels] = {"file": str(file.relative_to(target)), "label": label, **known}
        with _pair(file, image, mask):
            if phantom:
                write_text(target / INFO_FILE, json.dumps({"corrected": len(index)}) + "\n")
            write_text(target / INDEX_FILE, json.dumps(index, indent=2) + "\n")
        if before is not None and before != file:
            _remove_pair(before)
        return file.relative_to(folder)


@contextmanager
def _pair(file: Path, image: np.ndarray, mask: np.ndarray) -> Iterator[None]:
    """The pair stands when the block ends well; where it fails, an old pair is as it was, and no new one is there."""
    mask_file = file.with_name(f"{file.stem}_mask.png")
    if file.exists():  # with the same pixels
        with replacing(mask_file) as part:
            part.write_bytes(encode_png(mask))
            yield
        return
    try:
        with replacing(mask_file) as part:  # first: a mask alone is passed over
            part.write_bytes(encode_png(mask))
        with replacing(file) as part:
            part.write_bytes(encode_png(image))
        yield
    except BaseException:
        _remove_pair(file)
        raise


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UnreadableIndexError(f"{folder / INDEX_FILE} cannot be read ({error}); move it away") from None


def _before(folder: Path, index: dict[str, Any], pixels: str) -> Path | None:
    """Where an image of these pixels was saved before; None where it was not, or its file holds others by now."""
    if pixels not in index:
        return None
    file = folder / index[pixels]["file"]
    try:
        return file if pixels_digest(read_image(file)) == pixels else None
    except UsageError:
        return None


def _new_name(folder: Path, label: str) -> Path:
    number = 1
    while any((folder / f"{label} ({number}){ending}.png").exists() for ending in ("", "_mask")):
        number += 1
    return folder / f"{label} ({number}).png"


def _remove_pair(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_name(f"{file.stem}_mask.png").unlink(missing_ok=True)
