"""Heat maps of one target by one method, and what is measured of them, for `gradcam` and `evaluate`."""

from functools import cached_property

import numpy as np

from busi_keras.config import CLASSES
from busi_keras.errors import UsageError
from busi_keras.evaluation.faithfulness import Faithfulness, Localization, Perturbation, localization, perturbation
from busi_keras.explain.gradcam import GradCam
from busi_keras.explain.randomization import Randomization
from busi_keras.imaging import MASK_THRESHOLD, Letterbox
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.inference.predictor import Prediction, Predictor

PREDICTED, LESION = "predicted", "lesion"
TARGETS = (PREDICTED, *CLASSES, LESION)


class Explainer:
    """Heat maps of one target, by one method, at each image's own size.

    Grad-CAM of the predicted class comes with each prediction, whatever the format of the model; everything else needs
    the network itself.

    Args:
        target: one of `TARGETS`.
        method: key of `explain.methods.METHODS`.

    Raises:
        UsageError: there is no such method, or the model is no run and no `.keras` file.
    """

    def __init__(self, predictor: Predictor, target: str = PREDICTED, method: str = "gradcam") -> None:
        self._predictor, self._target = predictor, target
        self._comes_with_predictions = (target, method) == (PREDICTED, "gradcam")
        self._cam = GradCam(predictor.engine.network, method) if isinstance(predictor.engine, KerasEngine) else None
        if self._cam is None and not self._comes_with_predictions:
            raise UsageError(
                f"--target {target} by --method {method} needs the network itself; give a run or a .keras file"
            )

    def heat_map(self, image: np.ndarray, prediction: Prediction) -> np.ndarray | None:
        """The heat map of an image: float32 `(height, width)` in [0, 1]; None where it is flat.

        Args:
            image: uint8 `(height, width, 3)`.
        """
        if self._cam is None or self._comes_with_predictions:
            return prediction.heat_map
        if self._target == LESION:
            found = self._cam.of_lesion(self._pixels(image))[0]
        else:
            found = self._cam.of_class(self._pixels(image), np.array([self._label(prediction)]))[0]
        heat_map = np.clip(self._box(image).invert(found.values), 0, 1)
        return heat_map if heat_map.any() else None

    def faithfulness(
        self, image: np.ndarray, prediction: Prediction, heat_map: np.ndarray | None, true_mask: np.ndarray | None
    ) -> Faithfulness:
        """What speaks for or against a heat map of an image; where it lies, only with a true mask."""
        if heat_map is None:
            return Faithfulness()
        if self._target == LESION:
            return Faithfulness(located(heat_map, true_mask), self._lesion_perturbed(image, heat_map))
        label = self._label(prediction)
        return Faithfulness(
            located(heat_map, true_mask),
            perturbed(self._predictor, image, heat_map, label),
            self._randomization.correlations(self._pixels(image), np.array([label]))[0] if self._cam else None,
        )

    def _lesion_perturbed(self, image: np.ndarray, heat_map: np.ndarray) -> Perturbation | None:
        """What becomes of the probability of lesion over the pixels that are outlined in the whole image."""
        pixels, engine = self._pixels(image), self._predictor.engine
        outlined = engine.run(pixels).mask[0] > MASK_THRESHOLD
        if not outlined.any():
            return None
        probability = lambda images: engine.run(images).mask[:, outlined].mean(axis=1)  # noqa: E731
        return perturbation(pixels[0], self._box(image).apply(heat_map), probability)

    @cached_property
    def _randomization(self) -> Randomization:
        assert self._cam
        return Randomization(self._cam)

    def _box(self, image: np.ndarray) -> Letterbox:
        return Letterbox.of(image, self._predictor.card.image_size)

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        return self._box(image).apply(image)[None]

    def _label(self, prediction: Prediction) -> int:
        return CLASSES.index(prediction.label if self._target == PREDICTED else self._target)


def located(heat_map: np.ndarray | None, true_mask: np.ndarray | None) -> Localization | None:
    """How a heat map lies on the true lesion; None where one of the two is missing or empty."""
    if heat_map is None or true_mask is None or not true_mask.any():
        return None
    return localization(heat_map, true_mask)


def perturbed(predictor: Predictor, image: np.ndarray, heat_map: np.ndarray, label: int) -> Perturbation:
    """What becomes of a class's probability along the heat map's order of pixels.

    Args:
        image: uint8 `(height, width, 3)`.
        heat_map: float32 `(height, width)`, of that class.
        label: index into `CLASSES`.
    """
    box = Letterbox.of(image, predictor.card.image_size)
    probability = lambda images: predictor.engine.run(images).probabilities[:, label]  # noqa: E731
    return perturbation(box.apply(image), box.apply(heat_map), probability)
