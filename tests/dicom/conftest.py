"""DICOM files for tests, made from phantoms: no patient, but names and numbers that must not leak."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)

from busi_keras.card import Card
from busi_keras.inference.engine import Outputs
from busi_keras.inference.predictor import Predictor

US_IMAGE, US_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
PATIENT = ("Müstermann^Erika", "PAT-4711", "19610203", "ACC-0815")
"""What must not leak: name, number, date of birth, accession number."""


@pytest.fixture
def ultrasound_file() -> Callable[..., Path]:
    """Writes an ultrasound file, see `write_ultrasound`."""
    return write_ultrasound


@pytest.fixture
def region() -> Callable[..., Dataset]:
    """Makes a region of an ultrasound file, see `make_region`."""
    return make_region


@pytest.fixture
def patient() -> tuple[str, ...]:
    """What must not leak of the files that `ultrasound_file` writes, as it could be spelled."""
    return ("Müstermann", "M?stermann", "M\\xfcstermann", "Erika", "4711", "19610203", "0815", "Doctor")


def write_ultrasound(
    path: Path,
    stored: np.ndarray,
    interpretation: str = "MONOCHROME2",
    syntax: str = ExplicitVRLittleEndian,
    **more: Any,
) -> Path:
    """Writes an ultrasound file and gives its path.

    Args:
        stored: `(rows, columns)`, `(rows, columns, 3)`, or frames of them along a first axis, as they are to be stored.
        interpretation: photometric.
        syntax: transfer syntax; compressed by pydicom where it says so.
        more: elements by keyword; None removes one.
    """
    colour = stored.shape[-1] == 3
    frames = stored.shape[0] if stored.ndim == 3 + colour else None
    shape = stored.shape[1:] if frames else stored.shape
    dataset = header(US_MULTI_FRAME if frames else US_IMAGE)
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = interpretation
    if colour:
        dataset.PlanarConfiguration = 0
    bits = 8 * stored.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    if frames:
        dataset.NumberOfFrames = frames
        dataset.FrameTime = 40
        dataset.FrameIncrementPointer = 0x00181063
    if syntax == JPEGBaseline8Bit:
        dataset.PixelData = encapsulate([_jpeg(frame) for frame in (stored if frames else [stored])])
        dataset["PixelData"].is_undefined_length = True
    else:
        values = stored.tobytes()
        dataset.PixelData = values + b"\0" * (len(values) % 2)
    dataset.update({keyword: value for keyword, value in more.items() if value is not None})
    for keyword in (keyword for keyword, value in more.items() if value is None):
        del dataset[keyword]
    as_they_are = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, JPEGBaseline8Bit)
    dataset.file_meta.TransferSyntaxUID = syntax if syntax in as_they_are else ExplicitVRLittleEndian
    if syntax not in as_they_are:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def header(kind: str = US_IMAGE) -> Dataset:
    """A header with a patient, a study and all modules that an ultrasound image must have, but for the pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.AccessionNumber = PATIENT
    dataset.PatientSex = "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240506", "101112", "S1"
    dataset.ReferringPhysicianName = "Doctor^Who"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "US", 1, 1
    dataset.Manufacturer = "phantom"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PatientOrientation = None
    dataset.LossyImageCompression = "00"
    return dataset


def make_region(box: tuple[int, int, int, int], delta_cm: tuple[float, float] = (0.01, 0.02), **more: Any) -> Dataset:
    """An item of SequenceOfUltrasoundRegions: `box` is x0, y0, x1, y1, the end exclusive."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[0], box[1]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2] - 1, box[3] - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta_cm
    item.update(more)
    return item


def _jpeg(frame: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


class BrightnessEngine:
    """Outlines what is brighter than 128, and says malignant where there is any."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, images: np.ndarray) -> Outputs:
        self.batches.append(len(images))
        bright = (images[..., 0] > 128).astype(np.float32)
        some = bright.any(axis=(1, 2))
        probabilities = np.where(some[:, None], [0.1, 0.7, 0.2], [0.3, 0.1, 0.6]).astype(np.float32)
        return Outputs(bright, probabilities, bright, images.mean(axis=(1, 2, 3)))


@pytest.fixture
def predictor() -> Predictor:
    """A stub that outlines what is brighter than 128."""
    card = Card("multitask", 64, "BUSI", {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-23")
    return Predictor(BrightnessEngine(), card, batch_size=4)
