"""U-Net and Attention U-Net: segmentation alone."""

import keras
from keras import layers

from busi_keras.models.decoder import conv_block, unet_decoder
from busi_keras.models.heads import build_mask_head

LEVELS = 4


def build_unet(image_size: int, width: int = 64, attention: bool = False) -> keras.Model:
    """U-Net (Ronneberger et al., MICCAI 2015), with attention gates (Oktay et al., MIDL 2018) on request.

    Args:
        image_size: S, side of the input in pixels; a multiple of 8.
        width: channels of the first level; 64 gives the original's 64-128-256-512, 28 GMAC at 224 px.
        attention: gate the skip connections.

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255 -> `{"mask": logits (batch, S, S, 1)}`.

    Example:
        >>> build_unet(64, width=8).output_shape
        {'mask': (None, 64, 64, 1)}
    """
    encoder = _build_contracting_path(image_size, width)
    steps = [width * 2**level for level in reversed(range(LEVELS - 1))]
    mask_head = build_mask_head(encoder, lambda pyramid: [unet_decoder(pyramid, steps, attention)])

    image = keras.Input((image_size, image_size, 3), name="image")
    return keras.Model(image, {"mask": mask_head(encoder(image))}, name="attention_unet" if attention else "unet")


def _build_contracting_path(image_size: int, width: int) -> keras.Model:
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing", dtype="float32")(image)
    pyramid = []
    for level in range(LEVELS):
        if level:
            x = layers.MaxPooling2D(2)(x)
        x = conv_block(conv_block(x, width * 2**level), width * 2**level)
        pyramid.append(x)
    return keras.Model(image, pyramid, name="encoder")
