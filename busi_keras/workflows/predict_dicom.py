"""Predictions for DICOM files: of each frame, the one with the largest lesion first, and the results as DICOM.

The network sees the scan area alone; what it gives is put back into the frame.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from busi_keras.card import Card
from busi_keras.config import CLASSES, MALIGNANT
from busi_keras.dicom.algorithm import Algorithm
from busi_keras.dicom.measurement_report import Finding
from busi_keras.dicom.results import Results, make_results
from busi_keras.dicom.scan_area import ScanArea
from busi_keras.dicom.ultrasound import Frame, Ultrasound
from busi_keras.evaluation.lesions import Lesion, find_lesions
from busi_keras.inference.predictor import Prediction, Predictor, finite


@dataclass(frozen=True)
class FrameResult:
    """What is said of one frame; its pixels are not kept.

    Attributes:
        number: from 1.
        label, probabilities, novelty: as in `Prediction`.
        lesions: in pixels of the frame, largest first.
    """

    number: int
    label: str
    probabilities: tuple[float, ...]
    lesions: tuple[Lesion, ...]
    novelty: float

    @classmethod
    def of(cls, number: int, prediction: Prediction) -> "FrameResult":
        """Of a prediction in pixels of the frame."""
        return cls(number, prediction.label, prediction.probabilities, prediction.lesions, prediction.novelty)

    @property
    def rank(self) -> tuple[int, float, int]:
        """Sorts the frame with the largest lesion first, and without any, the most probably malignant."""
        largest = self.lesions[0].area_px if self.lesions else 0
        return -largest, -self.probabilities[MALIGNANT], self.number

    def to_json(self) -> dict[str, Any]:
        """As `predict --json` prints it."""
        return {
            "frame": self.number,
            "label": self.label,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "lesions": [asdict(lesion) for lesion in self.lesions],
            "novelty": finite(self.novelty),
        }


@dataclass(frozen=True)
class UltrasoundPrediction:
    """What is said of an ultrasound file.

    Attributes:
        ultrasound: the file.
        key_frame: the frame with the largest lesion; without any, the most probably malignant.
        prediction: of the key frame: mask, heat map and lesions in pixels of all of the frame, nothing around the scan
            area; its warnings are those of the file, too.
        frames: of all frames that were looked at, in the order of `FrameResult.rank`: the key frame's is the first.
    """

    ultrasound: Ultrasound
    key_frame: Frame
    prediction: Prediction
    frames: tuple[FrameResult, ...]
    _masks: dict[int, bytes]

    @property
    def scanned(self) -> np.ndarray:
        """The key frame with nothing around the scan area; `Ultrasound.may_name_patient` says of what is in it."""
        area = self.ultrasound.scan_area
        return area.paste(area.crop(self.key_frame.pixels))

    def masks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number and mask, bool `(rows, columns)`, of each frame with a lesion; without any, of the key frame."""
        shape = self.ultrasound.rows, self.ultrasound.columns
        for number, bits in sorted(self._masks.items()):
            yield number, np.unpackbits(np.frombuffer(bits, np.uint8), count=shape[0] * shape[1]).reshape(shape) > 0
        if not self._masks:
            yield self.key_frame.number, self.prediction.mask

    def dicom_results(self, card: Card) -> Results:
        """Segmentation, Structured Report and Secondary Capture of the panels, made by the model of that card.

        Raises:
            UsageError: as `dicom.results.make_results`.
        """
        from busi_keras.report.panels import PanelData, render_panels

        area, prediction, key = self.ultrasound.scan_area, self.prediction, self.frames[0]
        shown = in_area(prediction, area)
        panels = PanelData(area.crop(self.key_frame.pixels), shown, shown.heat_map, prediction.label)
        finding = Finding(key.number, key.label, key.probabilities, key.lesions, prediction.warnings)
        return make_results(self.ultrasound, finding, self.masks(), render_panels(panels), Algorithm.of(card))


def predict_ultrasound(
    predictor: Predictor,
    ultrasound: Ultrasound,
    every: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> UltrasoundPrediction:
    """Predicts an ultrasound file, from its first frame each `every`-th.

    A batch of frames is in memory, the key frame, and the masks as bits, however many frames there are.

    Args:
        progress: called after each frame.

    Raises:
        UsageError: a frame is damaged; `every` is less than 1.
    """
    area = ultrasound.scan_area
    crops = ((frame, area.crop(frame.pixels)) for frame in ultrasound.frames(every))
    results: list[FrameResult] = []
    masks: dict[int, bytes] = {}
    best: tuple[FrameResult, Frame, Prediction] | None = None
    for (frame, _), of_area in predictor.stream(crops):
        prediction = in_frame(of_area, area)
        result = FrameResult.of(frame.number, prediction)
        results.append(result)
        if prediction.lesions:
            masks[frame.number] = np.packbits(prediction.mask).tobytes()
        if best is None or result.rank < best[0].rank:
            best = result, frame, prediction
        progress()
    assert best is not None  # a file has at least one frame
    _, key_frame, prediction = best
    warnings = tuple(dict.fromkeys((*prediction.warnings, *ultrasound.warnings)))
    return UltrasoundPrediction(
        ultrasound,
        key_frame,
        replace(prediction, warnings=warnings),
        tuple(sorted(results, key=lambda result: result.rank)),
        masks,
    )


def predicted_frame(
    ultrasound: Ultrasound, number: int, scanned: np.ndarray, prediction: Prediction
) -> UltrasoundPrediction:
    """What is said of one frame alone.

    Args:
        number: the frame's, from 1.
        scanned: the scan area's pixels, uint8 `(height, width, 3)`.
        prediction: of these pixels.
    """
    area = ultrasound.scan_area
    of_frame = in_frame(prediction, area)
    masks = {number: np.packbits(of_frame.mask).tobytes()}
    result = FrameResult.of(number, of_frame)
    return UltrasoundPrediction(ultrasound, Frame(number, area.paste(scanned)), of_frame, (result,), masks)


def in_frame(prediction: Prediction, area: ScanArea) -> Prediction:
    """A prediction for the scan area, put back into its frame: nothing is outlined around it."""
    mask = area.paste(prediction.mask)
    return replace(
        prediction,
        mask=mask,
        mask_probability=area.paste(prediction.mask_probability),
        heat_map=None if prediction.heat_map is None else area.paste(prediction.heat_map),
        lesions=tuple(find_lesions(mask)),
    )


def in_area(prediction: Prediction, area: ScanArea) -> Prediction:
    """The inverse of `in_frame`."""
    mask = area.crop(prediction.mask)
    return replace(
        prediction,
        mask=mask,
        mask_probability=area.crop(prediction.mask_probability),
        heat_map=None if prediction.heat_map is None else area.crop(prediction.heat_map),
        lesions=tuple(find_lesions(mask)),
    )
