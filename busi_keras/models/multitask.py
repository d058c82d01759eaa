"""One shared encoder, two heads: a mask and a class from one pass."""

import keras

from busi_keras.models.backbone import build_encoder
from busi_keras.models.decoder import plain_decoder, unet_decoder
from busi_keras.models.heads import build_label_head, build_mask_head

DECODER_CHANNELS = (256, 128, 64, 32, 16)


def build_multitask(
    image_size: int, backbone: str = "resnet50", weights: str = "none", skips: bool = False
) -> keras.Model:
    """A multi-task network.

    Args:
        image_size: S, side of the input in pixels; a multiple of 32.
        backbone: key of `backbone.REGISTRY`.
        weights: what the backbone starts from; as in `build_encoder`.
        skips: decode with a U-Net's skip connections (approach `multitask-cnn`) rather than by plain upsampling and
            convolution (approach `multitask`).

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255 -> `{"mask": logits (batch, S, S, 1), "label": logits (batch, 3)}`.
    """
    encoder = build_encoder(backbone, image_size, weights)
    label_head = build_label_head(encoder)
    if skips:
        mask_head = build_mask_head(encoder, lambda pyramid: unet_decoder(pyramid, DECODER_CHANNELS))
    else:
        mask_head = build_mask_head(encoder, lambda pyramid: plain_decoder(pyramid[-1], DECODER_CHANNELS))

    image = keras.Input((image_size, image_size, 3), name="image")
    pyramid = encoder(image)
    outputs = {"mask": mask_head(pyramid), "label": label_head(pyramid[-1])}
    return keras.Model(image, outputs, name="multitask")
