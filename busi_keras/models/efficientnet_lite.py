"""EfficientNet-Lite: EfficientNet (Tan and Le, ICML 2019) for small devices, as its authors published it in 2020.

Against EfficientNet: no squeeze-and-excitation, ReLU6 in place of swish, and a stem and a head that do not grow with
the network. What is left are convolutions that every engine runs fast, in 8 bits too.
"""

import math
from typing import NamedTuple

import keras
from keras import layers

from busi_keras.models.sampling import Tensor

STEM, HEAD = 32, 1280
EPSILON = 1e-3
"""Of BatchNormalization."""


class Stage(NamedTuple):
    """Inverted residual blocks of one width; the first of them has the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
"""Of EfficientNet-B0 (Tan and Le, table 1)."""
TAPS = ("stage_2_expanded", "stage_3_expanded", "stage_4_expanded", "stage_6_expanded", "head")
"""The maps at strides 2, 4, 8, 16 and 32: each the widest that there is of its size, before it is halved."""


def efficientnet_lite(pixels: Tensor, width: float = 1.0, depth: float = 1.0) -> keras.Model:
    """The network without its top.

    Args:
        pixels: float32 `(batch, S, S, 3)`, about -1 to 1.
        width, depth: factors of channels and of blocks; Lite0 has 1 and 1, Lite1 1 and 1.1, Lite2 1.1 and 1.2.

    Returns:
        -> `(batch, S/32, S/32, 1280)`, with the layers `TAPS`.
    """
    x = _normalized(layers.Conv2D(STEM, 3, strides=2, padding="same", use_bias=False)(pixels))
    x = layers.ReLU(6.0)(x)
    for number, stage in enumerate(STAGES, start=1):
        channels = _rounded(stage.channels * width)
        blocks = stage.blocks if number in (1, len(STAGES)) else math.ceil(stage.blocks * depth)
        for block in range(blocks):
            name = f"stage_{number}_expanded" if block == 0 else None
            x = _block(x, stage, channels, stage.stride if block == 0 else 1, name)
    x = _normalized(layers.Conv2D(HEAD, 1, use_bias=False)(x))
    return keras.Model(keras.utils.get_source_inputs(pixels), layers.ReLU(6.0, name="head")(x))


def _block(x: Tensor, stage: Stage, channels: int, stride: int, name: str | None) -> Tensor:
    """An inverted residual block (Sandler et al., "MobileNetV2", CVPR 2018); `name` is of its expanded map."""
    start = x
    if stage.expansion > 1:
        x = _normalized(layers.Conv2D(stage.expansion * x.shape[-1], 1, use_bias=False)(x))
        x = layers.ReLU(6.0, name=name)(x)
    x = _normalized(layers.DepthwiseConv2D(stage.kernel, strides=stride, padding="same", use_bias=False)(x))
    x = layers.ReLU(6.0)(x)
    x = _normalized(layers.Conv2D(channels, 1, use_bias=False)(x))
    return layers.Add()([start, x]) if stride == 1 and start.shape[-1] == channels else x


def _normalized(x: Tensor) -> Tensor:
    return layers.BatchNormalization(epsilon=EPSILON)(x)


def _rounded(channels: float) -> int:
    """To a multiple of 8, at most 10 % down."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
