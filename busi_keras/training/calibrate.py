"""After training: temperature and thresholds, chosen on validation images, and what training images look like."""

from dataclasses import asdict, dataclass

import keras
import numpy as np
from scipy.special import softmax

from busi_keras.config import MALIGNANT
from busi_keras.evaluation.calibration import fit_novelty_threshold, fit_temperature, fit_thresholds
from busi_keras.explain.flow import trace
from busi_keras.models.novelty import novelty_head
from busi_keras.models.temperature import set_temperature
from busi_keras.training.batches import Arrays


@dataclass(frozen=True)
class Calibration:
    """What validation chose, as `Card` has it."""

    temperature: float
    thresholds: dict[str, float]
    novelty_threshold: float


def calibrate(model: keras.Model, training: Arrays, validation: Arrays, batch_size: int) -> Calibration:
    """Fits the temperature and the novelty of a trained model, and chooses thresholds on what comes out.

    Args:
        model: with a label head, its temperature 1; both are set in it.
    """
    novelty_head(model).get_layer("distance").fit(_predict(_texture(model), training, batch_size)["texture"])
    found = _predict(model, validation, batch_size)
    logits, novelty_threshold = found["label"], fit_novelty_threshold(found["novelty"])
    temperature = fit_temperature(logits, validation.labels)
    set_temperature(model, temperature)
    malignant = validation.labels == MALIGNANT
    if malignant.all() or not malignant.any():
        return Calibration(temperature, {}, novelty_threshold)
    probability = softmax(logits / temperature, axis=-1)[:, MALIGNANT]
    return Calibration(temperature, asdict(fit_thresholds(probability, malignant)), novelty_threshold)


def _texture(model: keras.Model) -> keras.Model:
    """From images to the features that the model's novelty is the distance of."""
    flow, head = trace(model), novelty_head(model)
    texture = keras.Model(head.inputs, head.get_layer("texture").output)
    return keras.Model(flow.image, {"texture": texture(flow.classified)})


def _predict(model: keras.Model, arrays: Arrays, batch_size: int) -> dict[str, np.ndarray]:
    """A model's outputs for all images, by name."""
    starts = range(0, len(arrays), batch_size)
    batches = [model.predict_on_batch(arrays.images[at : at + batch_size].astype(np.float32)) for at in starts]
    return {name: np.concatenate([np.asarray(batch[name]) for batch in batches]) for name in batches[0]}
