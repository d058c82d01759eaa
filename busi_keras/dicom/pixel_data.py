"""The pixel data of a file: whether they are all there, known before anything is decoded, and one frame after another.

DICOM PS3.5, section 8 and annex A: native, or compressed and cut into fragments. Only the frame that is asked for is
in memory.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from struct import unpack
from typing import Any, BinaryIO

import numpy as np

from busi_keras.dicom.codestream import coded_size, unpacked_rle_bytes
from busi_keras.dicom.display import COLOUR, INTERPRETATIONS
from busi_keras.dicom.library import REQUIREMENTS, pydicom
from busi_keras.errors import UsageError
from busi_keras.imaging import MAX_MEGAPIXELS

_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = (0x7FE0, 0x0010)
_LONGEST_SHARE, _LONGEST_HEADER = 2, 65536  # a compressed frame takes less than so many times its pixels, and a header
_VIDEO = "1.2.840.10008.1.2.4.10"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_RLE = "1.2.840.10008.1.2.5"
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
"""Baseline and extended. With Pillow alone, pixels that Adobe's mark makes RGB of would be converted once more."""


@dataclass(frozen=True)
class PixelData:
    """Where the pixel data are, and how they are to be read.

    Attributes:
        offset: of the element's value in the file, in bytes.
        options: what pydicom's decoder has to know, by its names.
        frame_count: number of frames.
        rows, columns: of a frame.
    """

    offset: int
    options: dict[str, Any]
    frame_count: int
    rows: int
    columns: int


def check_transfer_syntax(uid: str, name: str) -> None:
    """Makes sure that frames so coded can be decoded here.

    Raises:
        UsageError: they are a video, deflated, coded in a way that is not known, or the decoder is not installed.
    """
    if uid == _DEFLATED:
        raise UsageError(f"{name} is deflated as a whole; save it as Explicit VR Little Endian")
    syntax = pydicom("pydicom.uid").UID(uid)
    if _is_video(uid):
        raise UsageError(f"{name} is a video ({syntax.name}); save its frames as JPEG or uncompressed")
    try:
        decoder = pydicom("pydicom.pixels").get_decoder(syntax)
    except NotImplementedError:
        shown = syntax.name if syntax.name != uid else "unknown"
        raise UsageError(
            f"{name} is coded in a way that cannot be read ({shown}); save it as JPEG or uncompressed"
        ) from None
    if not decoder.is_available:
        raise UsageError(
            f"{name} is compressed as {syntax.name}, whose decoder is not installed; pip install -r {REQUIREMENTS}"
        )


def find_pixel_data(stream: BinaryIO, dataset: Any, name: str) -> PixelData:
    """The pixel data that follow a header, checked against what it claims.

    Args:
        stream: the file, where the reading of the header stopped.
        dataset: the header.
        name: of the file, for messages.

    Raises:
        UsageError: there are no pixel data, or too few for the claimed size; a frame is over `MAX_MEGAPIXELS`; the
            samples are of a kind that no ultrasound image has.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    element = _element(stream, syntax)
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if element is None or not rows or not columns:
        raise UsageError(f"{name} holds no pixels, or is cut off before them; name a file with an image in it")
    if rows * columns > MAX_MEGAPIXELS * 1_000_000:
        raise UsageError(
            f"{name} has frames of {columns} x {rows}, over {MAX_MEGAPIXELS} megapixels; make them smaller"
        )
    _check_samples(dataset, name)
    _check_frame_count(dataset, name)
    options = pydicom("pydicom.pixels.utils").as_pixel_options(
        dataset, transfer_syntax_uid=syntax, pixel_keyword="PixelData", pixel_vr=element.representation
    )
    found = PixelData(stream.tell(), options, options["number_of_frames"], rows, columns)
    if syntax in _JPEG and options["samples_per_pixel"] > 1 and find_spec("libjpeg") is None:
        raise UsageError(f"{name} is a JPEG in colour, which needs a decoder; pip install pylibjpeg-libjpeg")
    if syntax.is_encapsulated != (element.length == _UNDEFINED):
        raise UsageError(f"{name} is damaged: its pixel data are not coded as it says; get the file again")
    if syntax.is_encapsulated:
        _check_fragments(stream, found, name)
    else:
        _check_length(stream, found, element.length, name)
    return found


def decode_frame(stream: BinaryIO, data: PixelData, index: int, name: str) -> np.ndarray:
    """One frame's stored values.

    Args:
        stream: the whole file.
        index: of the frame, from 0.

    Returns:
        `(rows, columns)`, or `(rows, columns, 3)` in RGB.

    Raises:
        UsageError: the frame is damaged, or of another size than the header says.
    """
    syntax = data.options["transfer_syntax_uid"]
    if syntax == _RLE:
        _check_unpacked_size(stream, data, index, name)
    elif syntax.is_encapsulated:
        _check_coded_size(stream, data, index, name)
    stream.seek(data.offset)
    stored, _ = pydicom("pydicom.pixels").get_decoder(syntax).as_array(stream, index=index, **data.options)
    if stored.shape[:2] != (data.rows, data.columns):
        raise _too_small(data, name, f"frame {index + 1} is of another size")
    return stored


@dataclass(frozen=True)
class _Element:
    length: int
    representation: str | None


def _element(stream: BinaryIO, syntax: Any) -> _Element | None:
    """The header of the pixel data element, leaving the stream at its value; None where there is no such element."""
    order = "<" if syntax.is_little_endian else ">"
    start = stream.read(8)
    if len(start) < 8 or unpack(f"{order}HH", start[:4]) != _PIXEL_DATA:
        return None
    if syntax.is_implicit_VR:
        return _Element(unpack(f"{order}L", start[4:])[0], None)
    length = stream.read(4)
    return _Element(unpack(f"{order}L", length)[0], start[4:6].decode("ascii")) if len(length) == 4 else None


def _check_samples(dataset: Any, name: str) -> None:
    interpretation = dataset.get("PhotometricInterpretation")
    if interpretation not in INTERPRETATIONS:
        raise UsageError(f"{name} is in a colour model that cannot be read; save it as MONOCHROME2 or RGB")
    coloured = interpretation in COLOUR
    allocated, stored, samples = (dataset.get(k) for k in ("BitsAllocated", "BitsStored", "SamplesPerPixel"))
    if samples != (3 if coloured else 1):
        raise UsageError(f"{name} is damaged: {samples} samples a pixel in {interpretation}; get the file again")
    if allocated not in ((8,) if coloured else (8, 16)) or not stored or not 1 <= stored <= allocated:
        raise UsageError(
            f"{name} has {stored} of {allocated} bits a sample in {interpretation}; save it as 8 bits, or 16 in grey"
        )


def _check_frame_count(dataset: Any, name: str) -> None:
    count = dataset.get("NumberOfFrames")
    if count not in (None, "") and (count != int(count) or count < 1):
        raise UsageError(f"{name} is damaged: its number of frames is {count}; get the file again")


def _check_length(stream: BinaryIO, data: PixelData, length: int, name: str) -> None:
    options = data.options
    pixels = data.rows * data.columns * data.frame_count
    expected = pixels * options["samples_per_pixel"] * options["bits_allocated"] // 8
    subsampled = options["photometric_interpretation"] == "YBR_FULL_422"
    if subsampled and length >= expected:
        raise UsageError(f"{name} says YBR_FULL_422, but its colours are not subsampled; save it as YBR_FULL or RGB")
    if subsampled:
        expected = expected // 3 * 2
    there = min(length, _end(stream) - data.offset)
    if there < expected:
        raise _too_small(data, name, f"{there} of {expected} bytes are there")


def _check_fragments(stream: BinaryIO, data: PixelData, name: str) -> None:
    """All frames' fragments are there, and none is larger than a frame can be."""
    order = "<"  # PS3.5, A.4: compressed pixel data are little endian
    count, positions = pydicom("pydicom.encaps").parse_fragments(stream)
    end = _end(stream)
    lengths = []
    for position in positions:
        stream.seek(position + 4)
        lengths.append(unpack(f"{order}L", stream.read(4))[0])
    stream.seek(data.offset)
    frames = count - 1  # the first fragment is the table of offsets
    if frames < data.frame_count or positions[-1] + 8 + lengths[-1] > end:
        whole = sum(position + 8 + length <= end for position, length in zip(positions, lengths, strict=True)) - 1
        raise _too_small(data, name, f"{max(0, whole)} whole fragments are there")
    longest = _longest(data)
    if max(lengths[1:]) > longest or sum(lengths[1:]) > longest * data.frame_count:
        raise UsageError(f"{name} is damaged: its compressed frames are larger than their pixels; get the file again")


def _longest(data: PixelData) -> int:
    """Bytes that no frame takes, coded or unpacked."""
    options = data.options
    pixels = data.rows * data.columns * options["samples_per_pixel"] * options["bits_allocated"] // 8
    return _LONGEST_SHARE * pixels + _LONGEST_HEADER


def _codestream(stream: BinaryIO, data: PixelData, index: int) -> bytes:
    stream.seek(data.offset)
    return pydicom("pydicom.encaps").get_frame(
        stream,
        index,
        number_of_frames=data.frame_count,
        extended_offsets=data.options.get("extended_offsets"),
    )


def _check_unpacked_size(stream: BinaryIO, data: PixelData, index: int, name: str) -> None:
    longest = _longest(data)
    if unpacked_rle_bytes(_codestream(stream, data, index), longest) > longest:
        raise UsageError(f"{name} is damaged: frame {index + 1} unpacks to more than its pixels; get the file again")


def _check_coded_size(stream: BinaryIO, data: PixelData, index: int, name: str) -> None:
    size = coded_size(_codestream(stream, data, index))
    if size is None:
        raise UsageError(f"{name} is damaged: frame {index + 1} cannot be decoded; get the file again")
    if size != (data.rows, data.columns):
        raise _too_small(data, name, f"frame {index + 1} is {size[1]} x {size[0]}")


def _too_small(data: PixelData, name: str, found: str) -> UsageError:
    frames = f"{data.frame_count} frames of " if data.frame_count > 1 else ""
    return UsageError(f"{name} claims {frames}{data.columns} x {data.rows} pixels, but {found}; get the file again")


def _end(stream: BinaryIO) -> int:
    position = stream.tell()
    end = stream.seek(0, 2)
    stream.seek(position)
    return end


def _is_video(uid: str) -> bool:
    """MPEG-2, MPEG-4 and HEVC: 1.2.840.10008.1.2.4.100 to .108, and the fragmentable ones."""
    return any(uid.startswith(f"{_VIDEO}{number}") for number in range(9))
