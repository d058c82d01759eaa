"""What stands on an encoder: a mask head and a label head, each a model of its own so that they can be run alone."""

import random
from collections.abc import Callable, Sequence

import keras
from keras import layers

from busi_keras.config import CLASSES
from busi_keras.models.novelty import Novelty, Statistics
from busi_keras.models.sampling import Tensor
from busi_keras.models.temperature import Temperature

DROPOUT = 0.2
LARGEST_DROPOUT_SEED = 10**9
"""Keras draws its own from the same range; but on PyTorch a dropout that is not given one keeps no state to resume."""
TEXTURE_LEVELS = 3


def build_label_head(encoder: keras.Model) -> keras.Model:
    """Pooling, dropout, one dense layer, the temperature, on the last map: -> float32 logits `(batch, 3)`."""
    features = _inputs(encoder.outputs[-1:])[0]
    x = layers.GlobalAveragePooling2D()(features)
    x = layers.Dropout(DROPOUT, seed=random.randint(1, LARGEST_DROPOUT_SEED))(x)
    logits = layers.Dense(len(CLASSES), dtype="float32", name="logits")(x)
    return keras.Model(features, Temperature(dtype="float32", name="calibrated")(logits), name="label_head")


def build_mask_head(
    encoder: keras.Model, decode: Callable[[Sequence[Tensor]], Sequence[Tensor]], deep_supervision: bool = False
) -> keras.Model:
    """A decoder on the encoder's pyramid and a 1x1 convolution: -> float32 logits `(batch, S, S, 1)`.

    Where the decoder ends on a smaller map, the logits are upsampled bilinearly.

    Args:
        encoder: what gives the pyramid.
        decode: from the pyramid to the decoder's maps, from coarse to fine, each twice the size of the one before.
        deep_supervision: add up the logits of all of these maps, each upsampled, so that the loss reaches every step
            by a short way (Kayalibay, Jensen and van der Smagt, arXiv:1701.03056, 2017); else the finest map decides.
    """
    pyramid = _inputs(encoder.outputs)
    last = layers.Conv2D(1, 1, dtype="float32", name="logits")  # first, as ever: a seed gives the weights that it gave
    *coarser, finest = decode(pyramid)
    logits = last(finest)
    if deep_supervision and coarser:
        logits = layers.Add(dtype="float32", name="all_steps")([logits, _coarse_logits(coarser)])
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


def _coarse_logits(maps: Sequence[Tensor]) -> Tensor:
    """The sum of these maps' own logits, twice the size of the last of them."""
    total = None
    for number, feature in enumerate(maps, start=1):
        own = layers.Conv2D(1, 1, dtype="float32", name=f"logits_of_step_{number}")(feature)
        total = own if total is None else layers.Add(dtype="float32")([total, own])
        total = layers.UpSampling2D(2, interpolation="bilinear", dtype="float32")(total)
    return total
