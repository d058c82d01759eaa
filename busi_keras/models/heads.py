"""What stands on an encoder: a mask head and a label head, each a model of its own so that they can be run alone."""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from busi_keras.config import CLASSES
from busi_keras.models.novelty import Novelty, Statistics
from busi_keras.models.sampling import Tensor
from busi_keras.models.temperature import Temperature

DROPOUT = 0.2
TEXTURE_LEVELS = 3


def build_label_head(encoder: keras.Model) -> keras.Model:
    """Pooling, dropout, one dense layer, the temperature, on the last map: -> float32 logits `(batch, 3)`."""
    features = _inputs(encoder.outputs[-1:])[0]
    x = layers.GlobalAveragePooling2D()(features)
    x = layers.Dropout(DROPOUT)(x)
    logits = layers.Dense(len(CLASSES), dtype="float32", name="logits")(x)
    return keras.Model(features, Temperature(dtype="float32", name="calibrated")(logits), name="label_head")


def build_mask_head(encoder: keras.Model, decode: Callable[[Sequence[Tensor]], Tensor]) -> keras.Model:
    """A decoder on the encoder's pyramid and a 1x1 convolution: -> float32 logits `(batch, S, S, 1)`.

    Where the decoder ends on a smaller map, the logits are upsampled bilinearly.
    """
    pyramid = _inputs(encoder.outputs)
    logits = layers.Conv2D(1, 1, dtype="float32", name="logits")(decode(pyramid))
    scale = encoder.input_shape[1] // logits.shape[1]
    if scale > 1:
        logits = layers.UpSampling2D(scale, interpolation="bilinear", dtype="float32", name="upsampled")(logits)
    return keras.Model(pyramid, logits, name="mask_head")


def build_novelty_head(encoder: keras.Model) -> keras.Model:
    """How unlike the training images an image is, from its texture: -> float32 `(batch,)`.

    Of the encoder's maps only the finest count. The coarse ones, which training has fitted to its images, tell other
    lesions from these better than photographs: on BUSI a black image passed for ultrasound.
    """
    pyramid = _inputs(encoder.outputs)
    texture = [Statistics(dtype="float32")(feature) for feature in pyramid[:TEXTURE_LEVELS]]
    pooled = layers.Concatenate(dtype="float32", name="texture")(texture)
    return keras.Model(pyramid, Novelty(dtype="float32", name="distance")(pooled), name="novelty_head")


def _inputs(maps: Sequence[Tensor]) -> list[Tensor]:
    return [keras.Input(feature.shape[1:], dtype=feature.dtype) for feature in maps]
