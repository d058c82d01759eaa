"""Losses on logits. Each gives one value for each image."""

import keras
from keras import ops

from busi_keras.models.sampling import Tensor

DICE_SMOOTHING = 1.0
"""In pixels: keeps the Dice loss of an empty mask finite, and its gradient small where nothing is predicted."""
BOUNDARY_WINDOW = 31 / 352
"""Of the image's side."""
BOUNDARY_WEIGHT = 5.0


def binary_cross_entropy(masks: Tensor, logits: Tensor) -> Tensor:
    """Mean over pixels of the binary cross-entropy; masks 0 or 1, both `(batch, S, S, 1)` -> `(batch,)`."""
    return ops.mean(_pixel_cross_entropy(masks, logits), axis=(1, 2))


def dice_loss(masks: Tensor, logits: Tensor) -> Tensor:
    """1 - soft Dice of each image, `(batch, S, S, 1)` -> `(batch,)`.

    Milletari, Navab, Ahmadi, 3DV 2016, but with plain sums in the denominator, not sums of squares, as Sudre et al.,
    DLMIA 2017.
    """
    probabilities = ops.sigmoid(logits)
    overlap = ops.sum(masks * probabilities, axis=(1, 2, 3))
    total = ops.sum(masks, axis=(1, 2, 3)) + ops.sum(probabilities, axis=(1, 2, 3))
    return 1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)


def dice_and_cross_entropy(masks: Tensor, logits: Tensor) -> Tensor:
    """The sum of both."""
    return dice_loss(masks, logits) + binary_cross_entropy(masks, logits)


def dice_and_boundary(masks: Tensor, logits: Tensor) -> Tensor:
    """Dice and a binary cross-entropy in which pixels near the lesion's boundary count up to six times.

    A pixel's weight is 1 + 5 |share of lesion around it - mask|, as in the structure loss of F3Net (Wei, Wang, Huang,
    AAAI 2020), whose window of 31 pixels at 352 is scaled to the masks' size, and up to an odd number: 21 pixels at
    224.
    """
    window = 2 * round(BOUNDARY_WINDOW * masks.shape[1] / 2) + 1
    around = masks
    for pool in ((window, 1), (1, window)):
        around = ops.average_pool(around, pool, strides=1, padding="same", data_format="channels_last")
    weights = 1 + BOUNDARY_WEIGHT * ops.abs(around - masks)
    pixels = _pixel_cross_entropy(masks, logits) * weights[..., 0]
    return dice_loss(masks, logits) + ops.sum(pixels, axis=(1, 2)) / ops.sum(weights, axis=(1, 2, 3))


def _pixel_cross_entropy(masks: Tensor, logits: Tensor) -> Tensor:
    """`(batch, S, S, 1)` -> `(batch, S, S)`. The last axis is left out because Keras drops it by itself on PyTorch, but
    on Apple's processors alone."""
    return ops.binary_crossentropy(masks[..., 0], logits[..., 0], from_logits=True)


def cross_entropy(labels: Tensor, logits: Tensor, class_weights: Tensor) -> Tensor:
    """Weighted cross-entropy of each image.

    Args:
        labels: int `(batch,)`.
        logits: `(batch, 3)`.
        class_weights: `(3,)`, the factor of each class.
    """
    plain = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return plain * ops.take(class_weights, labels, axis=0)


def misplaced_evidence(masks: Tensor, labels: Tensor, evidence: Tensor) -> Tensor:
    """-log of the share of the true class's evidence that lies on the lesion, `(batch,)`; 0 without a lesion.

    The softmax over cells makes shares of it, so that no map that is the same everywhere escapes. That a network be
    right for the right reasons by a term in its loss is of Ross, Hughes, Doshi-Velez (IJCAI 2017), on class activation
    maps of Li et al. (CVPR 2018).

    Args:
        masks: `(batch, S, S, 1)`, 0 or 1.
        labels: int `(batch,)`.
        evidence: float32 `(batch, h, w, 3)`, of each cell of the last map its product with each class's weights: h * w
            times what it adds to the logit; h and w divide S.
    """
    _, height, width, classes = evidence.shape
    of_class = ops.sum(evidence * ops.one_hot(labels, classes)[:, None, None], axis=-1)
    shares = ops.softmax(ops.reshape(of_class, (-1, height * width)))
    cell = masks.shape[1] // height
    lesion = ops.max_pool(masks, cell, strides=cell, data_format="channels_last")
    inside = ops.sum(shares * ops.reshape(lesion, ops.shape(shares)), axis=-1)
    return ops.where(ops.any(masks > 0, axis=(1, 2, 3)), -ops.log(inside + keras.config.epsilon()), 0.0)


MASK_LOSS = {"bce": binary_cross_entropy, "dice-bce": dice_and_cross_entropy, "dice-boundary": dice_and_boundary}
"""By the names in `config.MASK_LOSSES`."""
