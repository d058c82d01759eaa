"""What results take over from the file they are about: patient and study, and the instance that they refer to.

Results go back to where the file came from, so they bear the patient's name as it does; their file names do not.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

from busi_keras.dicom.library import pydicom
from busi_keras.dicom.ultrasound import Ultrasound
from busi_keras.errors import UsageError

UTF_8 = "ISO_IR 192"

LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_TYPE_1 = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_TYPE_3 = (
    *("IssuerOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod", "StudyDescription"),
    *LOSSY,
    *("Modality", "Rows", "Columns", "Laterality"),
)
_DEFINED = {"PatientSex": ("M", "F", "O"), "Laterality": ("L", "R")}


def reference(ultrasound: Ultrasound) -> Any:
    """A dataset with what results take over: missing values are empty, and what is not as DICOM wants it is, too.

    Raises:
        UsageError: the file names no study, series or instance.
    """
    source, copy = ultrasound.header, pydicom().Dataset()
    for keyword in (*_TYPE_1, *_TYPE_2, *_TYPE_3):
        value = _valid(source, keyword)
        if value not in (None, "") or keyword in _TYPE_2:
            setattr(copy, keyword, value or "")
        elif keyword in _TYPE_1:
            raise UsageError(
                f"{ultrasound.name} has no {keyword}, so no DICOM result can refer to it; "
                "use the file as the archive has it, or go without DICOM results"
            )
    copy.Modality = "US"
    copy.SpecificCharacterSet = UTF_8
    return copy


def kept_for_results(ultrasound: Ultrasound) -> Ultrasound:
    """The same file with no more of its header than results take over; its frames cannot be decoded any more."""
    header = deepcopy(ultrasound.header)
    wanted = {pydicom("pydicom.datadict").tag_for_keyword(keyword) for keyword in (*_TYPE_1, *_TYPE_2, *_TYPE_3)}
    wanted.add(0x00080005)  # the character set of the names
    for tag in set(header.keys()) - wanted:
        del header[tag]
    return replace(ultrasound, header=header)


def result_stem(ultrasound: Ultrasound) -> str:
    """What the files of results are called: 16 hexadecimal digits of the instance's UID, hashed.

    The same instance has the same name wherever it lies; neither the UID, in which there may be a date, nor the file's
    own name, in which there may be a patient's, can be read from it.
    """
    return hashlib.sha256(str(ultrasound.header.get("SOPInstanceUID", "")).encode()).hexdigest()[:16]


def result_uid(source: Any, *of: object) -> str:
    """A UID of a result: the same where the same model finds the same in the same instance, so that a repeated run
    brings no second copy into the archive, and files of two runs refer to each other.

    Args:
        source: of `reference`.
        of: what kind of result it is, what made it and what is in it.
    """
    return str(pydicom("pydicom.uid").generate_uid(entropy_srcs=[str(source.SOPInstanceUID), *map(repr, of)]))


@contextmanager
def writable(ultrasound: Ultrasound) -> Iterator[None]:
    """What libraries raise on a header that is not as it must be may quote the patient's data: it is not passed on."""
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except Exception:
        raise UsageError(
            f"{ultrasound.name} has a header that no DICOM result can be made from; fix it, or go without DICOM results"
        ) from None


def _valid(source: Any, keyword: str) -> Any:
    valuerep = pydicom("pydicom.valuerep")
    try:
        value = source.get(keyword)
        if value and keyword.endswith("Date"):
            value = str(value).replace(".", "")  # 1997.04.24 is how ACR-NEMA wrote it (DICOM PS3.5, 6.2)
            valuerep.DA(value)
        if value and keyword.endswith("Time"):
            value = str(value).replace(":", "")  # 10:45:12, likewise
            valuerep.TM(value)
    except Exception:  # pydicom converts a value when it is asked for, and raises whatever it meets
        return None
    return None if keyword in _DEFINED and value not in _DEFINED[keyword] else value
