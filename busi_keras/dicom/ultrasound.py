"""Ultrasound files: what their header says, and their frames, one after another."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from busi_keras.dicom.detection import bears_mark
from busi_keras.dicom.display import to_rgb
from busi_keras.dicom.library import pydicom
from busi_keras.dicom.pixel_data import PixelData, check_transfer_syntax, decode_frame, find_pixel_data
from busi_keras.dicom.regions import Regions, Spacing, read_regions
from busi_keras.dicom.scan_area import ScanArea
from busi_keras.errors import UsageError

MAX_FILE_BYTES = 2_000_000_000
BURNT_IN = "the file is flagged as having burnt-in annotation: it can mislead the network and may name a patient"

_ULTRASOUND_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.6.1",  # US Image Storage, and what it was before 1996
    "1.2.840.10008.5.1.4.1.1.6",
    "1.2.840.10008.5.1.4.1.1.3.1",  # US Multi-frame Image Storage, and what it was
    "1.2.840.10008.5.1.4.1.1.3",
)
_CAPTURE_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture: of ultrasound where the modality says so
    "1.2.840.10008.5.1.4.1.1.7.2",
    "1.2.840.10008.5.1.4.1.1.7.3",
    "1.2.840.10008.5.1.4.1.1.7.4",
)
_KEPT_IN_MEMORY = 1_000_000  # bytes of an element; larger ones are read when they are asked for


@dataclass(frozen=True)
class Frame:
    """One frame: its number, from 1, and its pixels, uint8 `(rows, columns, 3)`, all of the frame."""

    number: int
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Ultrasound:
    """An ultrasound file whose header was read and found in order; no frame is decoded yet.

    Attributes:
        source: the file, or its bytes.
        name: what messages call it.
        rows, columns: of a frame, in pixels.
        frame_count: 1 for a still image.
        scan_area: what of a frame is scanned tissue; the network looks at nothing else.
        scan_area_named: whether the file names it; else it is all of the frame.
        spacing: size of a pixel in mm; None where the file does not say.
        burnt_in: whether the file is flagged with burnt-in annotation; None where it says nothing.
        warnings: what a reader of a prediction has to know of the file.
        header: pydicom's dataset without the pixel data. It names the patient: never show or log it.
    """

    source: Path | bytes = field(repr=False)
    name: str = field(repr=False)
    rows: int
    columns: int
    frame_count: int
    scan_area: ScanArea
    scan_area_named: bool
    spacing: Spacing | None
    burnt_in: bool | None
    warnings: tuple[str, ...]
    header: Any = field(repr=False)
    _data: PixelData = field(repr=False)

    @property
    def may_name_patient(self) -> bool:
        """Whether a name may be written in the scan area: text is burnt in, or the file neither says that none is nor
        names a scan area."""
        return self.burnt_in is True or (self.burnt_in is None and not self.scan_area_named)

    @property
    def patient(self) -> str:
        """The same for files of one patient, as far as the file says whose it is: never show or log it."""
        names = ("PatientID", "StudyInstanceUID")
        known = ((name, str(self.header.get(name) or "")) for name in names)
        return next((f"{name} {value}" for name, value in known if value), self.name)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Its frames, decoded one at a time: the first, and from there each `every`-th.

        Raises:
            UsageError: a frame is damaged or of another size than the header says; `every` is less than 1.
        """
        if every < 1:
            raise UsageError(f"--every is {every}; give 1 for each frame, or more")
        with _opened(self.source, self.name) as stream:
            for index in range(0, self.frame_count, every):
                yield self._decoded(stream, index)

    def frame(self, number: int) -> Frame:
        """One of its frames, by its number from 1.

        Raises:
            UsageError: it is damaged or of another size than the header says.
        """
        with _opened(self.source, self.name) as stream:
            return self._decoded(stream, number - 1)

    def _decoded(self, stream: BinaryIO, index: int) -> Frame:
        with _readable(self.name, f"frame {index + 1} cannot be decoded"):
            return Frame(index + 1, to_rgb(decode_frame(stream, self._data, index, self.name), self.header, self.name))

    def frames_in(self, every: int = 1) -> int:
        """How many frames `frames(every)` gives."""
        return len(range(0, self.frame_count, max(1, every)))


def read_ultrasound(source: Path | bytes, name: str | None = None) -> Ultrasound:
    """An ultrasound file, still or multi-frame; of the pixels it is only looked whether they are there.

    Uncompressed, JPEG, JPEG-LS, JPEG 2000 and RLE; MONOCHROME1 and 2 of 8 and 16 bits, RGB, YBR and palettes.

    Args:
        source: a file or its bytes.
        name: what messages call it; its path where none is given.

    Raises:
        UsageError: it does not exist, is no DICOM file, damaged, 2 GB or larger, no ultrasound, without pixels or with
            fewer than it claims, over `imaging.MAX_MEGAPIXELS` a frame, coded or coloured in a way that cannot be
            read; pydicom or a decoder is not installed. The message tells nothing of the patient.
    """
    name = name or _name(source)
    pydicom()
    with _opened(source, name) as stream:
        _check_file(stream, name)
        with _readable(name, "its header cannot be read"):
            check_transfer_syntax(_transfer_syntax(stream), name)
            deferred = _KEPT_IN_MEMORY if isinstance(source, Path) else None
            header = pydicom().dcmread(stream, stop_before_pixels=True, defer_size=deferred)
            _check_kind(header, name)
            data = find_pixel_data(stream, header, name)
            regions = read_regions(header, data.rows, data.columns)
    return _ultrasound(source, name, header, data, regions)


def _ultrasound(source: Path | bytes, name: str, header: Any, data: PixelData, regions: Regions) -> Ultrasound:
    burnt_in = {"YES": True, "NO": False}.get(str(header.get("BurnedInAnnotation")))
    return Ultrasound(
        source=source,
        name=name,
        rows=data.rows,
        columns=data.columns,
        frame_count=data.frame_count,
        scan_area=regions.scan_area,
        scan_area_named=regions.named,
        spacing=regions.spacing,
        burnt_in=burnt_in,
        warnings=(*((BURNT_IN,) if burnt_in else ()), *regions.warnings),
        header=header,
        _data=data,
    )


def _check_file(stream: BinaryIO, name: str) -> None:
    size = stream.seek(0, 2)
    stream.seek(0)
    if size == 0:
        raise UsageError(f"{name} is empty; get the file again")
    if size >= MAX_FILE_BYTES:
        raise UsageError(f"{name} has {size / 1e9:.1f} GB; files from {MAX_FILE_BYTES / 1e9:.0f} GB on are not read")
    if not bears_mark(stream.read(132)):
        raise UsageError(f"{name} is not a DICOM file: the prefix DICM is missing; name a DICOM file")
    stream.seek(0)


def _transfer_syntax(stream: BinaryIO) -> str:
    """Read first, for the header of a deflated file would be inflated as a whole."""
    stream.seek(132)
    meta = pydicom("pydicom.filereader").read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2
    )
    stream.seek(0)
    return str(meta.TransferSyntaxUID)


def _check_kind(header: Any, name: str) -> None:
    kind = str(header.get("SOPClassUID") or "")
    modality = str(header.get("Modality") or "")
    if kind in _ULTRASOUND_CLASSES and modality in ("US", ""):
        return
    if kind in _CAPTURE_CLASSES and modality == "US":
        return
    known = pydicom("pydicom.uid").UID(kind).name
    shown = "of unknown kind" if known == kind else known
    if kind in _ULTRASOUND_CLASSES or kind in _CAPTURE_CLASSES:
        shown += " of another modality than US"
    raise UsageError(f"{name} is not an ultrasound image ({shown}); name a B-mode ultrasound image, one or more frames")


def _name(source: Path | bytes) -> str:
    return str(source) if isinstance(source, Path) else "the file"


@contextmanager
def _opened(source: Path | bytes, name: str) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    try:
        stream = source.open("rb")
    except FileNotFoundError:
        raise UsageError(f"{name} does not exist; check the path") from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a folder; name a file in it") from None
    except OSError as error:
        raise UsageError(f"{name} cannot be read ({error.strerror}); check the file and its permissions") from None
    with stream:
        yield stream


@contextmanager
def _readable(name: str, problem: str) -> Iterator[None]:
    """What libraries raise on damaged files may quote the patient's data, so it is not passed on."""
    try:
        yield
    except UsageError:
        raise
    except Exception:
        raise UsageError(f"{name} is damaged: {problem}; get the file again") from None
