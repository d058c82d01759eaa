"""A backbone with a label head: classification alone."""

import keras

from busi_keras.models.backbone import build_encoder
from busi_keras.models.heads import build_label_head


def build_classifier(image_size: int, backbone: str = "resnet50", weights: str = "none") -> keras.Model:
    """A classifier of normal, benign and malignant; ResNet50 is He et al., CVPR 2016.

    Args:
        image_size: S, side of the input in pixels; a multiple of 32.
        backbone: key of `backbone.REGISTRY`.
        weights: what the backbone starts from; as in `build_encoder`.

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255 -> `{"label": logits (batch, 3)}`.
    """
    encoder = build_encoder(backbone, image_size, weights)
    label_head = build_label_head(encoder)

    image = keras.Input((image_size, image_size, 3), name="image")
    return keras.Model(image, {"label": label_head(encoder(image)[-1])}, name="classifier")
