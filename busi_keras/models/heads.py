"""What stands on an encoder: a mask head and a label head, each a model of its own so that they can be run alone."""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from busi_keras.config import CLASSES
from busi_keras.models.sampling import Tensor
from busi_keras.models.temperature import Temperature

DROPOUT = 0.2


def build_label_head(encoder: keras.Model) -> keras.Model:
    """Pooling, dropout, one dense layer, the temperature, on the last map: -> float32 logits `(batch, 3)`."""
    features = _inputs(encoder.outputs[-1:])[0]
    x = layers.GlobalAveragePooling2D()(features)
    x = layers.Dropout(DROPOUT)(x)
    logits = layers.Dense(len(CLASSES), dtype="float32", name="logits")(x)
    return keras.Model(features, Temperature(dtype="float32", name="calibrated")(logits), name="label_head")


def build_mask_head(encoder: keras.Model, decode: Callable[[Sequence[Tensor]], Tensor]) -> keras.Model:
    """A decoder on the encoder's pyramid and a 1x1 convolution: -> float32 logits `(batch, S, S, 1)`."""
    pyramid = _inputs(encoder.outputs)
    logits = layers.Conv2D(1, 1, dtype="float32", name="logits")(decode(pyramid))
    return keras.Model(pyramid, logits, name="mask_head")


def _inputs(maps: Sequence[Tensor]) -> list[Tensor]:
    return [keras.Input(feature.shape[1:], dtype=feature.dtype) for feature in maps]
