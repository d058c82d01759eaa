"""Uploaded bytes become frames: the one place that knows which kinds of file the page takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from busi_keras.dicom.detection import is_dicom
from busi_keras.dicom.reference import kept_for_results
from busi_keras.dicom.regions import Spacing
from busi_keras.dicom.scan_area import ScanArea
from busi_keras.dicom.ultrasound import Ultrasound, read_ultrasound
from busi_keras.errors import UsageError
from busi_keras.imaging import pixel_count, read_image

_ZIP = b"PK\x03\x04"
_BEGINNING = 132
"""Bytes: DICOM's mark ends there."""

MAY_NAME_PATIENT = "the file does not rule out burnt-in text: a name may be visible in the image"


@dataclass(frozen=True)
class Frame:
    """One image of an upload.

    Attributes:
        image: uint8 `(height, width, 3)`.
        spacing: size of a pixel; None where it is not known.
        warnings: why not to trust what is said of it; they stand after the network's own.
        scan_area: where it lies in the file's frame; None where it is all of it.
        may_name_patient: whether its file lets a name be written on it.
        ultrasound: of a DICOM file, what its results need; None where it is from another kind.
    """

    image: np.ndarray
    spacing: Spacing | None = None
    warnings: tuple[str, ...] = ()
    scan_area: ScanArea | None = None
    may_name_patient: bool = False
    ultrasound: Ultrasound | None = None


class Frames(Protocol):
    """The frames of an upload, decoded one at a time.

    Attributes:
        count: how many there are, at least 1.
        pixels: of one frame, known before it is decoded.
    """

    count: int
    pixels: int

    def read(self, index: int) -> Frame:
        """Frame `index`, from 0; raises `UsageError` where it cannot be decoded."""


def open_frames(upload: Path) -> Frames:
    """The frames in an uploaded file, whatever it was called; what it is, its first bytes say.

    Raises:
        UsageError: it is no image, or one of a kind that is refused. The message does not name the file: its path is
            the server's own affair.
    """
    with upload.open("rb") as stream:
        beginning = stream.read(_BEGINNING)
    if beginning.startswith(_ZIP):
        raise UsageError("this is a zip archive; unpack it and drop the images that are in it")
    return Dicom(upload) if is_dicom(beginning) else StillImage(upload)


class StillImage:
    """A PNG, JPEG, BMP, GIF or TIFF file: one frame, whose pixel spacing nobody knows."""

    count = 1

    def __init__(self, upload: Path) -> None:
        self._upload = upload
        self.pixels = pixel_count(upload.read_bytes())

    def read(self, index: int) -> Frame:
        """The image."""
        return Frame(read_image(self._upload.read_bytes()))


class Dicom:
    """An ultrasound file in DICOM: its frames, cut to the scanned area where the file names one, else whole.

    What is written on them is not looked at; `Frame.may_name_patient` says whether it may be a name.
    """

    def __init__(self, upload: Path) -> None:
        self._ultrasound = read_ultrasound(upload, name="this file")
        self._kept = kept_for_results(self._ultrasound)
        self.count = self._ultrasound.frame_count
        self.pixels = self._ultrasound.rows * self._ultrasound.columns

    def read(self, index: int) -> Frame:
        """Frame `index`, from 0."""
        file = self._ultrasound
        unsaid = (MAY_NAME_PATIENT,) if file.may_name_patient and not file.burnt_in else ()
        return Frame(
            file.scan_area.crop(file.frame(index + 1).pixels),
            file.spacing,
            (*unsaid, *file.warnings),
            None if file.scan_area.is_whole else file.scan_area,
            file.may_name_patient,
            self._kept,
        )
