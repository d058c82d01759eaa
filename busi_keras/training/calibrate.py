"""After training: the temperature and the operating thresholds, chosen on validation images."""

from dataclasses import asdict, dataclass

import keras
import numpy as np
from scipy.special import softmax

from busi_keras.config import MALIGNANT
from busi_keras.evaluation.calibration import fit_temperature, fit_thresholds
from busi_keras.models.temperature import set_temperature
from busi_keras.training.batches import Arrays


@dataclass(frozen=True)
class Calibration:
    """What validation chose, as `Card` has it."""

    temperature: float
    thresholds: dict[str, float]


def calibrate(model: keras.Model, validation: Arrays, batch_size: int) -> Calibration:
    """Fits the temperature of a trained model, sets it in the model, and chooses thresholds on what comes out.

    Args:
        model: with a label head, its temperature 1.
    """
    starts = range(0, len(validation), batch_size)
    batches = (validation.images[start : start + batch_size].astype(np.float32) for start in starts)
    logits = np.concatenate([keras.ops.convert_to_numpy(model.predict_on_batch(images)["label"]) for images in batches])
    temperature = fit_temperature(logits, validation.labels)
    set_temperature(model, temperature)
    malignant = validation.labels == MALIGNANT
    if malignant.all() or not malignant.any():
        return Calibration(temperature, {})
    probability = softmax(logits / temperature, axis=-1)[:, MALIGNANT]
    return Calibration(temperature, asdict(fit_thresholds(probability, malignant)))
