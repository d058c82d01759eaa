"""A backbone with a label head: classification alone."""

import keras

from busi_keras.models.backbone import build_encoder
from busi_keras.models.heads import build_label_head, build_novelty_head


def build_classifier(image_size: int, backbone: str = "resnet50", weights: str = "none") -> keras.Model:
    """A classifier of normal, benign and malignant; ResNet50 is He et al., CVPR 2016.

    Args:
        image_size: S, side of the input in pixels; a multiple of 32.
        backbone: key of `backbone.REGISTRY`.
        weights: what the backbone starts from; as in `build_encoder`.

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255 ->
        `{"label": logits (batch, 3), "novelty": (batch,)}`.
    """
    encoder = build_encoder(backbone, image_size, weights)
    label_head = build_label_head(encoder)
    novelty_head = build_novelty_head(encoder)

    image = keras.Input((image_size, image_size, 3), name="image")
    pyramid = encoder(image)
    outputs = {"label": label_head(pyramid[-1]), "novelty": novelty_head(pyramid)}
    return keras.Model(image, outputs, name="classifier")
