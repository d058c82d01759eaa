"""Which files are DICOM: known without reading them, and without pydicom."""

from pathlib import Path

from busi_keras.imaging import SUFFIXES as IMAGE_SUFFIXES

SUFFIXES = (".dcm", ".dicom")
DIRECTORY = "DICOMDIR"
"""The table of contents of a DICOM medium (PS3.10, 8.6): it has the mark, and no image."""

_PREAMBLE, _MARK = 128, b"DICM"


def is_dicom(source: Path | bytes) -> bool:
    """Whether a file means to be DICOM: by its suffix, or, where that is no image's, by DICOM's mark (PS3.10, 7.1).

    Archives name files by number or by UID, so that the end of a name says nothing.
    """
    if isinstance(source, bytes):
        return bears_mark(source[: _PREAMBLE + len(_MARK)])
    if source.suffix.lower() in SUFFIXES:
        return True
    return source.suffix.lower() not in IMAGE_SUFFIXES and source.name != DIRECTORY and _starts_with_mark(source)


def bears_mark(start: bytes) -> bool:
    """Whether the first 132 bytes of a file bear DICOM's mark."""
    return start[_PREAMBLE : _PREAMBLE + len(_MARK)] == _MARK


def _starts_with_mark(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return bears_mark(stream.read(_PREAMBLE + len(_MARK)))
    except OSError:
        return False
