"""Mask and class in one voice: no pixel shows a lesion more probably than the image does."""

import keras
from keras import layers, ops

from busi_keras.config import NORMAL
from busi_keras.models.sampling import Tensor


@keras.saving.register_keras_serializable(package="busi_keras")
class PresenceBound(layers.Layer):
    """Bounds each pixel's probability by that of any lesion in the image, 1 less the probability of normal.

    So the mask of an image that is more probably normal than not is empty at threshold 0.5. In training the mask passes
    unchanged: an undecided label head would hold the mask head back.

    Call with `(mask logits (batch, S, S, 1), label logits (batch, 3))`; gives mask logits.
    """

    def call(self, found: Tensor, label: Tensor, training: bool | None = None) -> Tensor:
        if training:
            return found
        return ops.minimum(found, ops.expand_dims(presence_logits(label), axis=(1, 2, 3)))

    def compute_output_shape(self, found_shape: tuple, label_shape: tuple) -> tuple:
        return found_shape


def presence_logits(label: Tensor) -> Tensor:
    """The logit of "not normal" from label logits: `(batch, 3)` -> `(batch,)`."""
    lesions = [label[:, index] for index in range(label.shape[-1]) if index != NORMAL]
    return ops.logsumexp(ops.stack(lesions, axis=-1), axis=-1) - label[:, NORMAL]
