"""One shared encoder, two heads: a mask and a class from one pass."""

import keras

from busi_keras.models.backbone import build_encoder
from busi_keras.models.decoder import lateral_decoder, plain_decoder
from busi_keras.models.heads import build_label_head, build_mask_head, build_novelty_head
from busi_keras.models.presence import PresenceBound

PLAIN_CHANNELS = (256, 128, 64, 32, 16)
LATERAL_CHANNELS = (128, 96, 64, 32)


def build_multitask(
    image_size: int,
    backbone: str = "resnet50",
    weights: str = "none",
    skips: bool = False,
    attention: bool = False,
    deep_supervision: bool = False,
) -> keras.Model:
    """A multi-task network.

    Args:
        image_size: S, side of the input in pixels; a multiple of 32.
        backbone: key of `backbone.REGISTRY`.
        weights: what the backbone starts from; as in `build_encoder`.
        skips: decode with a U-Net's skip connections (approach `multitask-cnn`) rather than by plain upsampling and
            convolution (approach `multitask`).
        attention: gate these skips.
        deep_supervision: let every step of that decoder give a mask; as in `build_mask_head`.

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255 ->
        `{"mask": logits (batch, S, S, 1), "label": logits (batch, 3), "novelty": (batch,)}`.
    """
    encoder = build_encoder(backbone, image_size, weights)
    label_head = build_label_head(encoder)
    novelty_head = build_novelty_head(encoder)
    if skips:
        mask_head = build_mask_head(
            encoder, lambda pyramid: lateral_decoder(pyramid, LATERAL_CHANNELS, attention), deep_supervision
        )
    else:
        mask_head = build_mask_head(encoder, lambda pyramid: [plain_decoder(pyramid[-1], PLAIN_CHANNELS)])
    return with_heads(encoder, mask_head, label_head, novelty_head)


def with_heads(
    encoder: keras.Model, mask_head: keras.Model, label_head: keras.Model, novelty_head: keras.Model
) -> keras.Model:
    """The multi-task network of these parts, each named as in `heads`."""
    image = keras.Input(encoder.input_shape[1:], name="image")
    pyramid = encoder(image)
    label = label_head(pyramid[-1])
    mask = PresenceBound(name="presence_bound", dtype="float32")(mask_head(pyramid), label)
    outputs = {"mask": mask, "label": label, "novelty": novelty_head(pyramid)}
    return keras.Model(image, outputs, name="multitask")
