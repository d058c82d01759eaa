"""What readers correct, in BUSI's layout: `DIR/malignant/malignant (3).png` and its mask, ready for the next training.

Corrections of phantoms go to `DIR/phantoms/`, which says of itself what it is: synthetic images never get among real
ones unnoticed. `corrections.json` notes where each pair comes from.
"""

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.config import CLASSES, NORMAL
from busi_keras.data.phantom_set import INFO_FILE
from busi_keras.errors import UnwritableError, UsageError
from busi_keras.files import replacing, write_text
from busi_keras.imaging import encode_png, pixels_digest

INDEX_FILE = "corrections.json"
PHANTOMS_FOLDER = "phantoms"

_one_at_a_time = threading.Lock()


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
    """Whether class and mask go together in BUSI's layout.

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
    """Writes an image and its mask; a pair of the same pixels that was saved before gives way.

    Args:
        folder: in BUSI's layout; made where it does not exist.
        image: uint8 `(height, width, 3)`.
        mask: bool `(height, width)`.
        label: one of `CLASSES`, fitting the mask as `check_correction` says.
        phantom: whether the image is synthetic.

    Returns:
        The image's path, relative to `folder`.

    Raises:
        UnwritableError: the folder cannot be written to, or the disk is full; nothing of a new pair stays.
        UsageError: class and mask do not go together.
    """
    check_correction(label, mask)
    with _one_at_a_time:
        target = folder / PHANTOMS_FOLDER if phantom else folder
        pixels = pixels_digest(image)
        index = _read_index(target)
        before = index.get(pixels)
        if before is not None and Path(before["file"]).parent.name == label:
            file = target / before["file"]
        else:
            file = _new_name(target / label, label)
        known = {name: value for name, value in asdict(provenance).items() if value is not None}
        index[pixels] = {"file": str(file.relative_to(target)), "label": label, **known}
        new = not file.exists()
        try:
            with replacing(file.with_name(f"{file.stem}_mask.png")) as part:  # first: a mask alone is passed over
                part.write_bytes(encode_png(mask))
            with replacing(file) as part:
                part.write_bytes(encode_png(image))
            if phantom:
                write_text(target / INFO_FILE, json.dumps({"corrected": len(index)}) + "\n")
            write_text(target / INDEX_FILE, json.dumps(index, indent=2) + "\n")
        except UnwritableError:
            if new:
                _remove_pair(file)
            raise
        if before is not None and target / before["file"] != file:
            _remove_pair(target / before["file"])
        return file.relative_to(folder)


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / INDEX_FILE} cannot be read ({error}); move it away") from None


def _new_name(folder: Path, label: str) -> Path:
    number = 1
    while any((folder / f"{label} ({number}){ending}.png").exists() for ending in ("", "_mask")):
        number += 1
    return folder / f"{label} ({number}).png"


def _remove_pair(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_name(f"{file.stem}_mask.png").unlink(missing_ok=True)
