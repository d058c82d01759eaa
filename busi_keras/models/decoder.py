"""From a pyramid back to full resolution: plain, U-Net, attention-gated."""

from collections.abc import Sequence

from keras import layers

from busi_keras.models.normalization import FusedBatchNormalization
from busi_keras.models.sampling import Tensor

BATCH_NORM_MOMENTUM = 0.9
"""Keras' 0.99 leaves the statistics unconverged in runs of a few hundred steps."""


def conv_block(x: Tensor, channels: int, kernel: int = 3) -> Tensor:
    """Convolution, BatchNormalization, ReLU; the size stays."""
    x = layers.Conv2D(channels, kernel, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = FusedBatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)
    return layers.ReLU()(x)


def plain_decoder(x: Tensor, channels: Sequence[int]) -> Tensor:
    """Upsample, convolve, once for each of `channels`; the size doubles each time. No skip connections."""
    for count in channels:
        x = layers.UpSampling2D(2, interpolation="nearest")(x)
        x = conv_block(x, count)
    return x


def unet_decoder(pyramid: Sequence[Tensor], channels: Sequence[int], attention: bool = False) -> Tensor:
    """The expanding path of a U-Net (Ronneberger, Fischer, Brox, MICCAI 2015).

    Args:
        pyramid: maps from fine to coarse, each half the size of the one before.
        channels: of each step, from coarse to fine; a step more than the pyramid has skips runs without one.
        attention: gate each skip by the coarser map.

    Returns:
        The finest map, `channels[-1]` deep.
    """
    *skips, x = pyramid
    for count in channels:
        x = layers.Conv2DTranspose(count, 2, strides=2)(x)
        if skips:
            skip = skips.pop()
            x = layers.Concatenate()([attention_gate(skip, x) if attention else skip, x])
            x = conv_block(x, count)
        x = conv_block(x, count)
    return x


def lateral_decoder(pyramid: Sequence[Tensor], channels: Sequence[int], attention: bool = False) -> list[Tensor]:
    """A U-Net's expanding path for the wide maps of a classification backbone, as light as the backbone.

    Each skip is first brought to its step's depth by a 1x1 convolution, as in feature pyramid networks (Lin et al.,
    CVPR 2017): a U-Net's own steps on the maps of a MobileNetV2 would cost seven times what the backbone does.

    Args:
        pyramid: maps from fine to coarse, each half the size of the one before.
        channels: of each step, from coarse to fine; one for each map but the coarsest.
        attention: gate each skip by the coarser map.

    Returns:
        Each step's map, from coarse to fine, as deep as `channels` says; the last is of the finest map's size.
    """
    *skips, x = pyramid
    steps = []
    for count, skip in zip(channels, reversed(skips), strict=True):
        x = layers.Conv2DTranspose(count, 2, strides=2)(x)
        skip = conv_block(skip, count, kernel=1)
        x = layers.Concatenate()([attention_gate(skip, x) if attention else skip, x])
        x = conv_block(x, count)
        steps.append(x)
    return steps


def attention_gate(skip: Tensor, gate: Tensor) -> Tensor:
    """The skip, weighted between 0 and 1 at each pixel by what the coarser path asks for.

    Additive attention of Attention U-Net (Oktay et al., MIDL 2018), here on maps of equal size.
    """
    channels = max(1, skip.shape[-1] // 2)
    query = layers.Conv2D(channels, 1, use_bias=False)(skip)
    key = layers.Conv2D(channels, 1)(gate)
    weight = layers.Conv2D(1, 1, activation="sigmoid")(layers.ReLU()(layers.Add()([query, key])))
    return layers.Multiply()([skip, weight])
