"""One way from an image to a prediction, for the command line, notebooks, services and batch jobs."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from busi_keras.card import RESEARCH_USE, Card
from busi_keras.config import CLASSES, NORMAL
from busi_keras.evaluation.lesions import Lesion, find_lesions
from busi_keras.imaging import MASK_THRESHOLD, Letterbox
from busi_keras.inference.engine import Engine, Outputs
from busi_keras.inference.flips import FlipAveraging
from busi_keras.inference.formats import open_model

TRAINED_ON_PHANTOMS = "trained on phantoms, synthetic images: this says nothing about a patient"
LESION_BUT_NORMAL = "mask and class disagree: a lesion is outlined, but the class is normal"
NOT_LIKE_TRAINING = (
    "unlike the training images (novelty {novelty:.2f}, threshold {threshold:.2f}): do not trust this result"
)
NO_LESION_BUT_CLASS = "mask and class disagree: no lesion is outlined, but the class is {label}"

T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image. Research use, not a diagnosis.

    Attributes:
        label: one of `CLASSES`, the most probable.
        probabilities: of each class, in the order of `CLASSES`, sum 1.
        mask: bool `(height, width)`, at the image's own size.
        mask_probability: float32 `(height, width)` in [0, 1], at the image's own size.
        heat_map: float32 `(height, width)` in [0, 1], Grad-CAM of `label`, at the image's own size; None where nothing
            in the image speaks for it, or where it was not computed: of images that were averaged with their mirror
            image, where neither of the two has this label.
        lesions: the mask's components, largest first.
        novelty: how unlike the training images, around 1 for images like them.
        warnings: why not to trust it.
    """

    label: str
    probabilities: tuple[float, ...]
    mask: np.ndarray
    mask_probability: np.ndarray
    heat_map: np.ndarray | None
    lesions: tuple[Lesion, ...]
    novelty: float
    warnings: tuple[str, ...]

    intended_use: str = RESEARCH_USE


def finite(novelty: float) -> float | None:
    """A novelty as JSON can hold it; None where it is not a number, as of an image that no feature makes sense of."""
    return novelty if math.isfinite(novelty) else None


class Predictor:
    """A stored network and what is known of it.

    Args:
        engine: runs the network.
        card: what the network is.
        batch_size: images that are run at once.

    Example:
        >>> predictor = Predictor.load(Path("runs/multitask-20261123-140000"))
        >>> predictor.predict([read_image(Path("image.png"))])[0].label
        'benign'
    """

    def __init__(self, engine: Engine, card: Card, batch_size: int = 8) -> None:
        self.engine, self.card, self.batch_size = engine, card, batch_size

    @classmethod
    def load(cls, path: Path) -> "Predictor":
        """The predictor of a stored network, in any format; `inference.formats.open_model` says which.

        Raises:
            UsageError: there is no such file, no network in it, or the library that runs it is not installed.
        """
        return cls(*open_model(path))

    @classmethod
    def connect(cls, url: str) -> "Predictor":
        """The predictor of a network that TF Serving serves: `http://HOST:8501` or `grpc://HOST:8500`.

        Behind the host may stand `/v1/models/NAME`; else the model is `engines.server.DEFAULT_MODEL`.

        Raises:
            UsageError: it is no such address, no server answers, or it serves another kind of model.
        """
        from busi_keras.inference.engines.server import ServerEngine

        engine = ServerEngine.connect(url)
        return cls(engine, engine.card())

    def with_flips(self) -> "Predictor":
        """The same network, each image averaged with its mirror image: fewer false finds, in twice the time.

        Temperature and thresholds stay those that were chosen without flips.
        """
        return Predictor(FlipAveraging(self.engine), self.card, self.batch_size)

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Predictions for images, uint8 `(height, width, 3)`, 0-255, of any sizes, in their order."""
        return [prediction for _, prediction in self.stream((None, image) for image in images)]

    def stream(self, items: Iterable[tuple[T, np.ndarray]]) -> Iterator[tuple[tuple[T, np.ndarray], Prediction]]:
        """Predictions for (anything, image), each with what it belongs to; holds a batch in memory, no more."""
        remaining = iter(items)
        while batch := list(islice(remaining, self.batch_size)):
            boxes = [Letterbox.of(image, self.card.image_size) for _, image in batch]
            pixels = np.stack([box.apply(image) for box, (_, image) in zip(boxes, batch, strict=True)])
            outputs = self.engine.run(pixels)
            for index, item in enumerate(batch):
                yield item, self._prediction(outputs, index, boxes[index])

    def _prediction(self, outputs: Outputs, index: int, box: Letterbox) -> Prediction:
        probability = np.clip(box.invert(outputs.mask[index]), 0, 1)
        mask = probability >= MASK_THRESHOLD
        label = int(np.argmax(outputs.probabilities[index]))
        heat_map = np.clip(box.invert(outputs.heatmap[index]), 0, 1)  # what lay in the padding alone is gone
        novelty = float(outputs.novelty[index])
        return Prediction(
            label=CLASSES[label],
            probabilities=tuple(float(p) for p in outputs.probabilities[index]),
            mask=mask,
            mask_probability=probability,
            heat_map=heat_map if heat_map.any() else None,
            lesions=tuple(find_lesions(mask)),
            novelty=novelty,
            warnings=tuple(self._warnings(label, bool(mask.any()), novelty)),
        )

    def _warnings(self, label: int, found: bool, novelty: float) -> Iterator[str]:
        if self.card.phantom:
            yield TRAINED_ON_PHANTOMS
        if self.card.is_novel(novelty):
            yield NOT_LIKE_TRAINING.format(novelty=novelty, threshold=self.card.novelty_threshold)
        if found and label == NORMAL:
            yield LESION_BUT_NORMAL
        if not found and label != NORMAL:
            yield NO_LESION_BUT_CLASS.format(label=CLASSES[label])
