"""The panels as a picture that every viewer shows: DICOM Secondary Capture (PS3.3, A.8.1)."""

from typing import Any

import numpy as np

from busi_keras.card import RESEARCH_USE
from busi_keras.dicom.algorithm import Algorithm
from busi_keras.dicom.library import highdicom, pydicom
from busi_keras.dicom.reference import LOSSY, UTF_8, reference, result_uid, writable
from busi_keras.dicom.ultrasound import Ultrasound
from busi_keras.imaging import pixels_digest

SERIES_NUMBER = 9003


def make_capture(ultrasound: Ultrasound, picture: np.ndarray, frame_number: int, algorithm: Algorithm) -> Any:
    """A Secondary Capture of a picture that was made of one frame.

    Args:
        picture: uint8 `(height, width, 3)`.
        frame_number: from 1.
        algorithm: what made it.

    Returns:
        pydicom's dataset.

    Raises:
        UsageError: the file names no study, series or instance, or highdicom refuses its header.
    """
    with writable(ultrasound):
        source = reference(ultrasound)
        made = "SC", algorithm
        capture = highdicom("highdicom.sc").SCImage.from_ref_dataset(
            ref_dataset=source,
            pixel_array=picture,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "F"),
            series_instance_uid=result_uid(source, *made),
            series_number=SERIES_NUMBER,
            sop_instance_uid=result_uid(source, *made, frame_number, pixels_digest(picture)),
            instance_number=1,
            transfer_syntax_uid=pydicom("pydicom.uid").ExplicitVRLittleEndian,
            **algorithm.equipment,
        )
        capture.SpecificCharacterSet = UTF_8
        capture.PatientOrientation = None  # highdicom wants one, but panels have none
        capture.Laterality = source.get("Laterality")  # a breast is one of two, so it must be there, if empty
        for keyword in LOSSY:  # once lossy, always: PS3.3, C.7.6.1.1.5
            if keyword in source:
                setattr(capture, keyword, source[keyword].value)
        capture.DerivationDescription = f"{algorithm.name}: {RESEARCH_USE}"
        capture.ImageComments = RESEARCH_USE
        capture.SourceImageSequence = [_source(source, frame_number if ultrasound.frame_count > 1 else None)]
        if ultrasound.burnt_in is not None:
            capture.BurnedInAnnotation = "YES" if ultrasound.burnt_in else "NO"
    return capture


def _source(reference: Any, frame_number: int | None) -> Any:
    item = pydicom().Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.SOPClassUID, reference.SOPInstanceUID
    if frame_number is not None:
        item.ReferencedFrameNumber = frame_number
    return item
