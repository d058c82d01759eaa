"""Finding, sizes and probabilities as DICOM Structured Report: TID 1500 "Measurement Report" (PS3.16, annex A).

One group of measurements (TID 1501) is of the frame: the most probable class and the probability of each. A group for
each lesion (TID 1410) has its box as a region of the frame, its width, height and area. What it is not, a diagnosis,
stands in it as a comment.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES
from busi_keras.dicom.algorithm import CODING_SCHEME, MANUFACTURER, Algorithm
from busi_keras.dicom.lesion_size import LesionSize, lesion_size
from busi_keras.dicom.library import highdicom, pydicom
from busi_keras.dicom.reference import UTF_8, reference, result_uid, writable
from busi_keras.dicom.ultrasound import Ultrasound
from busi_keras.evaluation.lesions import Lesion

SERIES_NUMBER = 9002


@dataclass(frozen=True)
class Finding:
    """What is reported of one frame.

    Attributes:
        frame_number: from 1.
        label: one of `CLASSES`, the most probable.
        probabilities: of each class, in the order of `CLASSES`, sum 1.
        lesions: in pixels of the frame, largest first.
        warnings: why not to trust it.
    """

    frame_number: int
    label: str
    probabilities: tuple[float, ...]
    lesions: tuple[Lesion, ...]
    warnings: tuple[str, ...]


def make_report(ultrasound: Ultrasound, finding: Finding, algorithm: Algorithm, segmentation: Any = None) -> Any:
    """A Comprehensive SR, complete, not verified.

    Args:
        algorithm: what found it.
        segmentation: the dataset with the masks, to be named as evidence.

    Returns:
        pydicom's dataset.

    Raises:
        UsageError: the file names no study, series or instance, or highdicom refuses its header.
    """
    with writable(ultrasound):
        source = reference(ultrasound)
        content = _content(source, ultrasound, finding, algorithm)
        made = "SR", algorithm
        report = highdicom("highdicom.sr").ComprehensiveSR(
            evidence=[source] if segmentation is None else [source, segmentation],
            content=content,
            series_instance_uid=result_uid(source, *made),
            series_number=SERIES_NUMBER,
            sop_instance_uid=result_uid(source, *made, finding, segmentation and segmentation.SOPInstanceUID),
            instance_number=1,
            is_complete=True,
            coding_schemes=[
                highdicom("highdicom.coding_schemes").CodingSchemeIdentificationItem(CODING_SCHEME, MANUFACTURER)
            ],
            **algorithm.equipment,
        )
        report.SpecificCharacterSet = UTF_8
    return report


def _content(source: Any, ultrasound: Ultrasound, finding: Finding, algorithm: Algorithm) -> Any:
    sr, codes = highdicom("highdicom.sr"), pydicom("pydicom.sr.codedict").codes
    sizes = [lesion_size(lesion, ultrasound.spacing) for lesion in finding.lesions]
    frames = [finding.frame_number] if ultrasound.frame_count > 1 else None
    measured = [_of_frame(source, frames, finding, algorithm)]
    measured += [
        _of_lesion(source, frames, result_uid(source, "lesion", number, algorithm, finding), number, lesion, size)
        for number, (lesion, size) in enumerate(zip(finding.lesions, sizes, strict=True), start=1)
    ]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(algorithm)),
        procedure_reported=codes.SCT.UltrasonographyOfBreast,
        imaging_measurements=measured,
        title=codes.DCM.ImagingMeasurementReport,
    )
    for sentence in dict.fromkeys((RESEARCH_USE, *finding.warnings, *ultrasound.warnings)):
        content[0].ContentSequence.append(
            sr.TextContentItem(codes.DCM.Comment, sentence, sr.RelationshipTypeValues.CONTAINS)
        )
    return content[0]


def _of_frame(source: Any, frames: list[int] | None, finding: Finding, algorithm: Algorithm) -> Any:
    sr, codes = highdicom("highdicom.sr"), pydicom("pydicom.sr.codedict").codes
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(result_uid(source, "frame", algorithm, finding), "frame"),
        algorithm_id=sr.AlgorithmIdentification(algorithm.name, algorithm.version),
        finding_sites=[sr.FindingSite(codes.SCT.Breast)],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_code("CLASS", "Most probable class"), _code(finding.label.upper(), finding.label))
        ],
        measurements=[
            sr.Measurement(_probability_of(name), round(100 * probability, 4), codes.UCUM.Percent)
            for name, probability in zip(CLASSES, finding.probabilities, strict=True)
        ],
        source_images=[sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID, frames)],
    )


def _of_lesion(source: Any, frames: list[int] | None, uid: str, number: int, lesion: Lesion, size: LesionSize) -> Any:
    sr, codes = highdicom("highdicom.sr"), pydicom("pydicom.sr.codedict").codes
    x0, y0, x1, y1 = lesion.box
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], float)
    in_mm = size.unit == "mm"
    length = codes.UCUM.Millimeter if in_mm else _pixels("{pixels}", "pixels")
    surface = codes.UCUM.SquareMillimeter if in_mm else _pixels("{pixels}", "pixels")
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid, f"lesion {number}"),
        referenced_region=sr.ImageRegion(
            sr.GraphicTypeValues.POLYLINE,
            corners,
            sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID, frames),
        ),
        finding_type=codes.SCT.Lesion,
        finding_sites=[sr.FindingSite(codes.SCT.Breast)],
        measurements=[
            sr.Measurement(codes.SCT.Width, round(size.width, 3), length),
            sr.Measurement(codes.DCM.Height, round(size.height, 3), length),
            sr.Measurement(codes.SCT.Area, round(size.area, 3), surface),
        ],
    )


def _observer(algorithm: Algorithm) -> Any:
    sr, codes = highdicom("highdicom.sr"), pydicom("pydicom.sr.codedict").codes
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=algorithm.uid(), name=MANUFACTURER, manufacturer_name=MANUFACTURER, model_name=algorithm.name
    )
    return sr.ObserverContext(codes.DCM.Device, device)


def _probability_of(name: str) -> Any:
    if name == "malignant":
        return pydicom("pydicom.sr.codedict").codes.DCM.ProbabilityOfCancer
    return _code(f"P_{name.upper()}", f"Probability of {name}")


def _code(value: str, meaning: str) -> Any:
    return highdicom("highdicom.sr").CodedConcept(value, CODING_SCHEME, meaning)


def _pixels(value: str, meaning: str) -> Any:
    return highdicom("highdicom.sr").CodedConcept(value, "UCUM", meaning)
