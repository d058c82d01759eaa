"""Masks as DICOM Segmentation: binary, as large as the frame, each of its frames naming the frame it belongs to.

DICOM PS3.3, A.51 and C.8.20. highdicom makes the instance with its first frame; where there is no frame of reference,
as in ultrasound, it takes no more, so the other frames of a cine are added to it here.
"""

import hashlib
from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import chain, islice
from typing import Any

import numpy as np

from busi_keras.card import RESEARCH_USE
from busi_keras.dicom.algorithm import Algorithm
from busi_keras.dicom.library import highdicom, pydicom
from busi_keras.dicom.reference import UTF_8, reference, result_uid, writable
from busi_keras.dicom.ultrasound import Ultrasound

SERIES_NUMBER = 9001
LABEL = "LESION"

_STILL = "1.2.840.10008.5.1.4.1.1.6.1"  # what highdicom takes a cine for: it wants functional groups, which none has
_FRAME_CONTENT, _TEMPORAL_POSITION = 0x00209111, 0x00209128
_PACKED_AT_ONCE = 8  # frames: so many are whole bytes of bits, whatever their size


def make_segmentation(ultrasound: Ultrasound, masks: Iterable[tuple[int, np.ndarray]], algorithm: Algorithm) -> Any:
    """A Segmentation of one segment, the lesions.

    Args:
        masks: one or more frames' numbers, from 1 and rising, and their masks, bool `(rows, columns)`; may be empty
            masks. A generator keeps memory bounded: eight masks are held at once, the others as bits.
        algorithm: what drew them.

    Returns:
        pydicom's dataset.

    Raises:
        UsageError: the file names no study, series or instance, or highdicom refuses its header.
    """
    remaining = iter(masks)
    first_number, first_mask = next(remaining)
    with writable(ultrasound):
        segmentation = _of_one_frame(ultrasound, first_mask, algorithm)
        numbers: list[int] = []
        segmentation.PixelData = _packed(chain([(first_number, first_mask)], remaining), numbers)
        segmentation.NumberOfFrames = len(numbers)
        if ultrasound.frame_count > 1:
            _index_frames(segmentation, numbers)
        drawn = hashlib.sha256(segmentation.PixelData).hexdigest()
        uid = result_uid(reference(ultrasound), "SEG", algorithm, numbers, drawn)
        segmentation.SOPInstanceUID = segmentation.file_meta.MediaStorageSOPInstanceUID = uid
    return segmentation


def _of_one_frame(ultrasound: Ultrasound, mask: np.ndarray, algorithm: Algorithm) -> Any:
    codes = pydicom("pydicom.sr.codedict").codes
    segment = highdicom("highdicom.seg").SegmentDescription(
        segment_number=1,
        segment_label="lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm.identification(),
        anatomic_regions=[codes.SCT.Breast],
    )
    source = reference(ultrasound)
    kind, source.SOPClassUID = source.SOPClassUID, _STILL
    segmentation = highdicom("highdicom.seg").Segmentation(
        source_images=[source],
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        series_instance_uid=result_uid(source, "SEG", algorithm),
        series_number=SERIES_NUMBER,
        sop_instance_uid=result_uid(source, "SEG"),
        instance_number=1,
        omit_empty_frames=False,
        content_label=LABEL,
        content_description=RESEARCH_USE,
        **algorithm.equipment,
    )
    for element in segmentation.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = kind
    segmentation.SpecificCharacterSet = UTF_8
    segmentation.PatientOrientation = None
    return segmentation


def _packed(masks: Iterator[tuple[int, np.ndarray]], numbers: list[int]) -> bytes:
    """The masks as bits without gaps between frames (PS3.5, 8.1.1); their numbers are noted."""
    packed = bytearray()
    while batch := list(islice(masks, _PACKED_AT_ONCE)):
        numbers += [number for number, _ in batch]
        packed += np.packbits(np.concatenate([mask.ravel() for _, mask in batch]), bitorder="little").tobytes()
    return bytes(packed) + b"\0" * (len(packed) % 2)


def _index_frames(segmentation: Any, numbers: list[int]) -> None:
    """Each frame says to which frame of the source it belongs; time is the second dimension, after the segment."""
    by_segment = segmentation.DimensionIndexSequence[0]
    by_time = deepcopy(by_segment)
    by_time.DimensionIndexPointer, by_time.FunctionalGroupPointer = _TEMPORAL_POSITION, _FRAME_CONTENT
    by_time.DimensionDescriptionLabel = "Temporal Position Index"
    segmentation.DimensionIndexSequence = [by_segment, by_time]
    template = segmentation.PerFrameFunctionalGroupsSequence[0]
    groups = []
    for position, number in enumerate(numbers, start=1):
        group = deepcopy(template)
        group.FrameContentSequence[0].DimensionIndexValues = [1, position]
        group.FrameContentSequence[0].TemporalPositionIndex = position
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = number
        groups.append(group)
    segmentation.PerFrameFunctionalGroupsSequence = groups
