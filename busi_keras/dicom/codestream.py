"""What a compressed frame says of its own size, read before a decoder makes room for it."""

import struct

_JPEG_START, _J2K_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_NOT_FRAME_HEADERS = (0xC4, 0xC8, 0xCC)  # tables among the markers C0-CF that open a frame
_JPEG_LS_FRAME = 0xF7
_RLE_HEADER = struct.Struct("<16L")
_RLE_NOTHING = 128  # below it: bytes as they are; above it: one byte, many times


def coded_size(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 codestream; None where its header cannot be read.

    ISO/IEC 10918-1 B.2.2 and 14495-1 C.2.2 (frame header), 15444-1 A.5.1 (SIZ).
    """
    try:
        if codestream.startswith(_JPEG_START):
            return _jpeg_size(codestream)
        start = codestream.find(_J2K_START, 0, 4096)  # behind the boxes of a JP2 file, if it is one
        return _j2k_size(codestream, start) if start >= 0 else None
    except (struct.error, IndexError):
        return None


def unpacked_rle_bytes(codestream: bytes, enough: int) -> int:
    """How many bytes a frame in RLE unpacks to; it is not counted on once there are more than `enough`.

    DICOM PS3.5, G.3: 2 bytes become up to 128. A frame whose header cannot be read has 0.
    """
    if len(codestream) < _RLE_HEADER.size:
        return 0
    count, *offsets = _RLE_HEADER.unpack_from(codestream)
    starts = offsets[:count]
    unpacked = 0
    for position, end in zip(starts, [*starts[1:], len(codestream)], strict=True):
        while position < min(end, len(codestream)) and unpacked <= enough:
            control = codestream[position]
            position += 2 if control > _RLE_NOTHING else control + 2 if control < _RLE_NOTHING else 1
            unpacked += 257 - control if control > _RLE_NOTHING else control + 1 if control < _RLE_NOTHING else 0
    return unpacked


def _jpeg_size(codestream: bytes) -> tuple[int, int] | None:
    position = 2
    while codestream[position] == 0xFF:
        marker = codestream[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAME_HEADERS) or marker == _JPEG_LS_FRAME:
            rows, columns = struct.unpack_from(">HH", codestream, position + 5)
            return rows, columns
        else:
            (length,) = struct.unpack_from(">H", codestream, position + 2)
            position += 2 + length
    return None


def _j2k_size(codestream: bytes, start: int) -> tuple[int, int]:
    x1, y1, x0, y0 = struct.unpack_from(">IIII", codestream, start + 8)
    return y1 - y0, x1 - x0
