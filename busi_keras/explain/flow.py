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
        mask: logits `(batch, S, S, 1)`, bounded by the presence of any lesion where there is a label head.
        classified: the pyramid whose last map the label head looks at; in a two-stage network, of the crop.
        label_head: last map -> label logits; None in a lone U-Net.
        features: that last map.
        label: logits `(batch, 3)`.
        novelty: `(batch,)`; None in a lone U-Net.
        squares: `(batch, 3)`, y, x and side in pixels: which part of the image `features` show; None for all of it.
    """

    image: Tensor
    mask_head: keras.Model | None
    pyramid: list[Tensor] | None
    mask: Tensor | None
    classified: list[Tensor] | None
    label_head: keras.Model | None
    features: Tensor | None
    label: Tensor | None
    novelty: Tensor | None
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
        found = mask_head(pyramid)
        squares = LesionSquares(name="squares", dtype="float32")(found)
        classifier = network.get_layer("classifier")
        encoder = classifier.get_layer("encoder")
        crop_encoder = keras.Model(encoder.inputs, encoder.outputs, name="crop_encoder")  # one graph, one name a part
        seen = crop_encoder(network.get_layer("crop")(image, found))
        heads = classifier
    else:
        names = {layer.name for layer in network.layers}
        pyramid = seen = network.get_layer("encoder")(image)
        mask_head = network.get_layer("mask_head") if "mask_head" in names else None
        found = mask_head(pyramid) if mask_head else None
        squares = None
        heads = network if "label_head" in names else None

    label_head = heads.get_layer("label_head") if heads else None
    label = label_head(seen[-1]) if label_head else None
    bounded = mask_head is not None and label_head is not None
    return Flow(
        image,
        mask_head,
        pyramid if mask_head else None,
        network.get_layer("presence_bound")(found, label) if bounded else found,
        seen if heads else None,
        label_head,
        seen[-1] if label_head else None,
        label,
        heads.get_layer("novelty_head")(seen) if heads else None,
        squares,
    )
