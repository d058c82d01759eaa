"""The way from an image to the logits, with the feature maps that are explained on it."""

from dataclasses import dataclass

import keras

from busi_keras.models.sampling import Tensor
from busi_keras.models.two_stage import LesionSquares


@dataclass(frozen=True)
class Flow:
    """A network's tensors, symbolic: models of any part of it are `keras.Model(flow.image, ...)`.

    Attributes:
        image: float32 `(batch, S, S, 3)`, 0-255.
        mask_head: pyramid -> mask logits; None in a lone classifier.
        pyramid: what the mask head looks at.
        mask: logits `(batch, S, S, 1)`.
        label_head: last map -> label logits; None in a lone U-Net.
        features: the last map, which the label head looks at; in a two-stage network, of the crop.
        label: logits `(batch, 3)`.
        squares: `(batch, 3)`, y, x and side in pixels: which part of the image `features` show; None for all of it.
    """

    image: Tensor
    mask_head: keras.Model | None
    pyramid: list[Tensor] | None
    mask: Tensor | None
    label_head: keras.Model | None
    features: Tensor | None
    label: Tensor | None
    squares: Tensor | None

    @property
    def size(self) -> int:
        """S, side of the image in pixels."""
        return self.image.shape[1]


def trace(network: keras.Model) -> Flow:
    """The flow of a network as `models.build` makes it; also of a lone U-Net or classifier."""
    image = keras.Input(network.input_shape[1:], name="image")
    if network.name == "two_stage":
        segmenter = next(layer for layer in network.layers if layer.name in ("unet", "attention_unet"))
        pyramid = segmenter.get_layer("encoder")(image)
        mask_head = segmenter.get_layer("mask_head")
        mask = mask_head(pyramid)
        squares = LesionSquares(name="squares", dtype="float32")(mask)
        classifier = network.get_layer("classifier")
        label_head = classifier.get_layer("label_head")
        encoder = classifier.get_layer("encoder")
        last = keras.Model(encoder.inputs, encoder.outputs[-1], name="crop_encoder")  # one graph, one name a part
        features = last(network.get_layer("crop")(image, mask))
        return Flow(image, mask_head, pyramid, mask, label_head, features, label_head(features), squares)

    heads = {layer.name: layer for layer in network.layers}
    mask_head, label_head = heads.get("mask_head"), heads.get("label_head")
    pyramid = network.get_layer("encoder")(image)
    return Flow(
        image,
        mask_head,
        pyramid if mask_head else None,
        mask_head(pyramid) if mask_head else None,
        label_head,
        pyramid[-1] if label_head else None,
        label_head(pyramid[-1]) if label_head else None,
        squares=None,
    )
