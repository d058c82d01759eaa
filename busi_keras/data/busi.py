"""The BUSI tree: `benign/benign (1).png`, its `benign (1)_mask.png`, perhaps a `benign (1)_mask_1.png`.

Al-Dhabyani, Gomaa, Khaled, Fahmy, "Dataset of breast ultrasound images", Data in Brief 28 (2020) 104863.
"""

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from busi_keras.config import CLASSES, NORMAL
from busi_keras.errors import UsageError
from busi_keras.imaging import SUFFIXES, read_image, read_mask

BUSI_COUNTS = {"benign": 437, "malignant": 210, "normal": 133}
"""Images a class in the complete data set."""
BUSI_MASKS = 798

_MASK_STEM = re.compile(r"(?P<image>.+)_mask(_\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """One image of a data set and what is known of it.

    Attributes:
        name: class folder and file, with a slash: `benign/benign (1).png`.
        image: the image's file.
        masks: its masks' files, to be OR-ed; none for a normal image without a mask, whose mask is empty.
        label: index into `CLASSES`.
    """

    name: str
    image: Path
    masks: tuple[Path, ...]
    label: int


@dataclass(frozen=True)
class Sample:
    """A record's pixels: image uint8 `(height, width, 3)`, mask bool `(height, width)`."""

    image: np.ndarray
    mask: np.ndarray


def read_busi(folder: Path) -> list[Record]:
    """The records of a folder in BUSI's layout, class by class in the order of `CLASSES`, names sorted naturally.

    Only names are looked at; no file is opened.

    Raises:
        UsageError: the folder does not exist or has none of the classes' folders.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one that holds {', '.join(CLASSES)}")
    if not any((folder / name).is_dir() for name in CLASSES):
        raise UsageError(f"{folder} has none of the folders {', '.join(CLASSES)}; name the folder that holds them")
    records = [record for label, name in enumerate(CLASSES) for record in _read_class(folder / name, label)]
    if not records:
        raise UsageError(f"{folder} holds no image in {', '.join(CLASSES)}; name a folder in BUSI's layout")
    return records


def read_sample(record: Record) -> Sample:
    """A record's image and mask.

    Raises:
        UsageError: as `imaging.read_image` and `imaging.read_mask`; also for a lesion image without a mask or with an
            empty one, a normal image whose mask is not empty, and a mask of another size than its image.
    """
    image = read_image(record.image)
    if not record.masks and record.label != NORMAL:
        expected = f"{record.image.stem}_mask.png"
        raise UsageError(f"{record.image} shows a lesion and has no mask {expected} beside it; add it")
    mask = read_masks(record.masks, record.image, image)
    if record.label != NORMAL and not mask.any():
        raise UsageError(f"{record.image} shows a lesion, but {record.masks[0].name} is empty; draw the lesion")
    if record.label == NORMAL and mask.any():
        raise UsageError(f"{record.image} is normal, but {record.masks[0].name} is not empty; fix one of the two")
    return Sample(image, mask)


def read_masks(masks: Iterable[Path], image_file: Path, image: np.ndarray) -> np.ndarray:
    """The union of an image's masks, bool `(height, width)`; empty without any.

    Raises:
        UsageError: a mask is broken, or of another size than the image.
    """
    union = np.zeros(image.shape[:2], bool)
    for path in masks:
        mask = read_mask(path)
        if mask.shape != union.shape:
            raise UsageError(
                f"{path} is {_size(mask)}, but {image_file} is {_size(union)}; "
                "give a mask drawn on the image's own pixels"
            )
        union |= mask
    return union


def is_mask(path: Path) -> bool:
    """Whether a file is named as a mask: `NAME_mask.png`, `NAME_mask_1.png`."""
    return _MASK_STEM.match(path.stem) is not None


def mask_files(image: Path) -> list[Path]:
    """The masks that lie beside an image: `NAME_mask.png`, `NAME_mask_1.png`, ..."""
    beside = (path for path in image.parent.iterdir() if path.suffix.lower() in SUFFIXES)
    matches = ((path, _MASK_STEM.match(path.stem)) for path in beside)
    return sorted((path for path, match in matches if match and match["image"] == image.stem), key=_mask_order)


def fingerprint(records: Iterable[Record]) -> str:
    """16 hexadecimal digits that change with any file's name or size; no file is opened."""
    digest = hashlib.sha256()
    for record in records:
        for path in (record.image, *record.masks):
            size = path.stat().st_size if path.exists() else -1
            digest.update(f"{path.parent.name}/{path.name} {size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def first_mask_only(records: Iterable[Record]) -> list[Record]:
    """The records with `_mask.png` as their only mask, as the original project read them (protocol `seed`)."""
    first = re.compile(r".+_mask", re.IGNORECASE)
    return [replace(r, masks=tuple(path for path in r.masks if first.fullmatch(path.stem))) for r in records]


def masks_alone(folder: Path) -> list[Path]:
    """Masks whose image is not there, which `read_busi` passes over in silence."""
    found: list[Path] = []
    for name in CLASSES:
        images, masks = _images_and_masks(folder / name)
        alone = sorted(masks.keys() - {path.stem for path in images}, key=natural_order)
        found += [path for stem in alone for path in masks[stem]]
    return found


def passed_over(folder: Path) -> list[str]:
    """What else lies where images are looked for, and is no image by its name; a sentence each folder."""
    found = [f"{name} is a file, not a folder of images" for name in CLASSES if (folder / name).is_file()]
    for name in CLASSES:
        beside = sorted(folder.glob(f"{name}/[!.]*"), key=lambda path: natural_order(path.name))
        others = [path.name for path in beside if path.is_dir() or path.suffix.lower() not in SUFFIXES]
        if others:
            found.append(
                f"{name}: {len(others)} entries are not read, {others[0]} for one; images end in {', '.join(SUFFIXES)}"
            )
    others = [path.name for path in sorted(folder.iterdir()) if path.name not in CLASSES and _holds_images(path)]
    return [*found, *(f"{name}: its images are not read; classes are {', '.join(CLASSES)}" for name in others)]


def natural_order(name: str) -> tuple[list[tuple[str, int]], str]:
    """A sort key under which `benign (2)` stands before `benign (10)`; different names have different keys."""
    return [(text, int(digits or -1)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name)], name


def _read_class(folder: Path, label: int) -> list[Record]:
    images, masks = _images_and_masks(folder)
    return [
        Record(f"{folder.name}/{path.name}", path, tuple(sorted(masks.get(path.stem, []), key=_mask_order)), label)
        for path in images
    ]


def _images_and_masks(folder: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """A class's image files, names sorted naturally, and its mask files by the stem of their image."""
    if not folder.is_dir():
        return [], {}
    files = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")),
        key=lambda path: natural_order(path.name),
    )
    images: list[Path] = []
    masks: dict[str, list[Path]] = {}
    for path in files:
        match = _MASK_STEM.match(path.stem)
        if match:
            masks.setdefault(match["image"], []).append(path)
        else:
            images.append(path)
    return images, masks


def _holds_images(folder: Path) -> bool:
    """Whether a folder that is not hidden and can be opened has images in it."""
    if folder.name.startswith(".") or not folder.is_dir():
        return False
    with suppress(OSError):
        return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
    return False


def _size(mask: np.ndarray) -> str:
    height, width = mask.shape
    return f"{width} x {height}"


def _mask_order(path: Path) -> tuple[int, str]:
    return len(path.stem), path.stem
