"""Losses on logits. Each gives one value for each image."""

import keras
from keras import ops

from busi_keras.models.sampling import Tensor

DICE_SMOOTHING = 1.0
"""In pixels: keeps the Dice loss of an empty mask finite, and its gradient small where nothing is predicted."""


def binary_cross_entropy(masks: Tensor, logits: Tensor) -> Tensor:
    """Mean over pixels of the binary cross-entropy; masks 0 or 1, both `(batch, S, S, 1)` -> `(batch,)`."""
    pixels = keras.losses.binary_crossentropy(masks, logits, from_logits=True)
    return ops.mean(pixels, axis=(1, 2))


def dice_loss(masks: Tensor, logits: Tensor) -> Tensor:
    """1 - soft Dice of each image (Milletari, Navab, Ahmadi, 3DV 2016), `(batch, S, S, 1)` -> `(batch,)`."""
    probabilities = ops.sigmoid(logits)
    overlap = ops.sum(masks * probabilities, axis=(1, 2, 3))
    total = ops.sum(masks, axis=(1, 2, 3)) + ops.sum(probabilities, axis=(1, 2, 3))
    return 1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)


def dice_and_cross_entropy(masks: Tensor, logits: Tensor) -> Tensor:
    """The sum of both."""
    return dice_loss(masks, logits) + binary_cross_entropy(masks, logits)


def cross_entropy(labels: Tensor, logits: Tensor, class_weights: Tensor) -> Tensor:
    """Weighted cross-entropy of each image.

    Args:
        labels: int `(batch,)`.
        logits: `(batch, 3)`.
        class_weights: `(3,)`, the factor of each class.
    """
    plain = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return plain * ops.take(class_weights, labels, axis=0)


MASK_LOSS = {"bce": binary_cross_entropy, "dice-bce": dice_and_cross_entropy}
"""By the names in `config.MASK_LOSSES`."""
