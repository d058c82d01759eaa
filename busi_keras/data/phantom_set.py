"""A folder of phantoms in BUSI's layout: what is used where no BUSI data can be had.

Demonstration data: nothing learnt or measured on them says anything about patients. `phantoms.json` in the folder lets
everything downstream say so.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from busi_keras.config import CLASSES, MALIGNANT, NORMAL
from busi_keras.data.busi import BUSI_COUNTS
from busi_keras.data.phantom import BENIGN, SMALLEST_SIDE, make_phantom
from busi_keras.errors import UsageError
from busi_keras.files import replacing_folder
from busi_keras.imaging import encode_png

INFO_FILE = "phantoms.json"


def write_phantoms(
    folder: Path,
    count: int,
    seed: int = 0,
    size: int = 256,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> None:
    """Writes a folder laid out like BUSI (`benign/benign (1).png`, `benign/benign (1)_mask.png`) and `phantoms.json`.

    The classes have BUSI's shares, at least one image each; normal images have an all-black mask. `benign (7).png`
    of a seed and size is the same image whatever `count` is. The folder appears at once, when it is complete.

    Args:
        folder: where to; must not exist or be empty. Missing parents are made.
        count: of images, at least 3.
        seed: not negative.
        size: the larger side of every image, px, at least 32. The other side varies as in BUSI.
        progress: called with (images written, count) after every image.

    Raises:
        UsageError: `count`, `seed` or `size` is out of its range; `folder` holds something; the disk is full.
    """
    if count < len(CLASSES):
        raise UsageError(f"--count is {count}, but phantoms need one of each class: ask for {len(CLASSES)} or more")
    if size < 2 * SMALLEST_SIDE:
        raise UsageError(f"--size is {size} px; ask for {2 * SMALLEST_SIDE} or more")
    if seed < 0:
        raise UsageError(f"--seed is {seed}; give 0 or more")
    with replacing_folder(folder) as part:
        _write(part, count, seed, size, progress)


def _write(folder: Path, count: int, seed: int, size: int, progress: Callable[[int, int], None]) -> None:
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for done, (label, number) in enumerate(_numbered(count), start=1):
        index = len(CLASSES) * (number - 1) + label
        phantom = make_phantom(seed, index, label, *_image_shape(seed, index, size))
        stem = folder / CLASSES[label] / f"{CLASSES[label]} ({number})"
        Path(f"{stem}.png").write_bytes(encode_png(phantom.image))
        Path(f"{stem}_mask.png").write_bytes(encode_png(phantom.mask))
        progress(done, count)
    (folder / INFO_FILE).write_text(json.dumps({"seed": seed, "count": count, "size": size}) + "\n", encoding="utf-8")


def _numbered(count: int) -> Iterator[tuple[int, int]]:
    """(label, number from 1) of every image, in BUSI's shares and at least one of each class."""
    share = count / sum(BUSI_COUNTS.values())
    malignant, normal = (max(1, round(share * BUSI_COUNTS[name])) for name in ("malignant", "normal"))
    for label, images in ((BENIGN, count - malignant - normal), (MALIGNANT, malignant), (NORMAL, normal)):
        yield from ((label, number) for number in range(1, images + 1))


def _image_shape(seed: int, index: int, size: int) -> tuple[int, int]:
    """Height and width, the larger one `size`, with BUSI's spread of their ratio."""
    rng = np.random.default_rng([seed, index, size])
    width_to_height = np.clip(rng.lognormal(np.log(1.22), 0.13), 0.9, 1.7)
    return (round(size / width_to_height), size) if width_to_height >= 1 else (size, round(size * width_to_height))
