"""The three files that go back into the archive: Segmentation, Structured Report, Secondary Capture."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.dicom.algorithm import Algorithm
from busi_keras.dicom.measurement_report import Finding, make_report
from busi_keras.dicom.reference import result_stem, writable
from busi_keras.dicom.secondary_capture import make_capture
from busi_keras.dicom.segmentation import make_segmentation
from busi_keras.dicom.ultrasound import Ultrasound
from busi_keras.files import replacing


@dataclass(frozen=True)
class ResultFiles:
    """Where the results of a file were written: masks, report and panels."""

    segmentation: Path
    report: Path
    capture: Path

    def to_json(self) -> dict[str, str]:
        """As `predict --json` prints it."""
        return {"seg": str(self.segmentation), "sr": str(self.report), "sc": str(self.capture)}


@dataclass(frozen=True)
class Results:
    """The three files' bytes.

    Attributes:
        stem: what they are called, see `reference.result_stem`.
        segmentation, report, capture: DICOM files.
    """

    stem: str
    segmentation: bytes
    report: bytes
    capture: bytes

    def write(self, folder: Path) -> ResultFiles:
        """Writes `STEM_seg.dcm`, `STEM_sr.dcm` and `STEM_sc.dcm`, each whole or not at all, over what is there.

        Raises:
            UsageError: the disk is full, or the folder cannot be written to.
        """
        for name, content in self._files().items():
            with replacing(folder / name) as part:
                part.write_bytes(content)
        return ResultFiles(*(folder / name for name in self._files()))

    def to_zip(self) -> bytes:
        """An archive of the same three files."""
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self._files().items():
                archive.writestr(name, content)
        return buffer.getvalue()

    def _files(self) -> dict[str, bytes]:
        parts = {"seg": self.segmentation, "sr": self.report, "sc": self.capture}
        return {f"{self.stem}_{kind}.dcm": content for kind, content in parts.items()}


def make_results(
    ultrasound: Ultrasound,
    finding: Finding,
    masks: Iterable[tuple[int, np.ndarray]],
    panels: np.ndarray,
    algorithm: Algorithm,
) -> Results:
    """The results of a file, ready to be written or sent.

    Args:
        ultrasound: the file that they are about.
        finding: what is reported, of one frame.
        masks: as in `make_segmentation`: frames' numbers, rising, and their masks, bool `(rows, columns)`.
        panels: the picture to capture, uint8 `(height, width, 3)`.
        algorithm: what made them.

    Raises:
        UsageError: nothing can refer to the file, or highdicom is not installed.
    """
    segmentation = make_segmentation(ultrasound, masks, algorithm)
    report = make_report(ultrasound, finding, algorithm, segmentation)
    capture = make_capture(ultrasound, panels, finding.frame_number, algorithm)
    return Results(
        result_stem(ultrasound), *(_encoded(dataset, ultrasound) for dataset in (segmentation, report, capture))
    )


def _encoded(dataset: Any, ultrasound: Ultrasound) -> bytes:
    buffer = BytesIO()
    with writable(ultrasound):
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
