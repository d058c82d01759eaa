"""Several networks as one: trained from other seeds, they err in other places, and their mean errs less."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from busi_keras.models.heads import build_label_head, build_novelty_head
from busi_keras.models.multitask import with_heads
from busi_keras.models.sampling import Tensor


@keras.saving.register_keras_serializable(package="busi_keras")
class Share(layers.Layer):
    """One of equal shares of a map's channels: `(batch, h, w, channels)` -> `(batch, h, w, channels / count)`.

    `keras.ops.split` would be stored under a private name of Keras.

    Args:
        index: which, from 0.
        count: how many there are.
    """

    def __init__(self, index: int, count: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.index, self.count = index, count

    def call(self, maps: Tensor) -> Tensor:
        channels = maps.shape[-1] // self.count
        return maps[..., self.index * channels : (self.index + 1) * channels]

    def compute_output_shape(self, shape: tuple) -> tuple:
        return (*shape[:-1], shape[-1] // self.count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "index": self.index, "count": self.count}


def join(members: Sequence[keras.Model]) -> keras.Model:
    """The ensemble of multi-task networks, a multi-task network itself (deep ensembles: Lakshminarayanan, Pritzel and
    Blundell, NIPS 2017).

    Its encoder puts the members' maps side by side; its logits, of mask and label, are the means of theirs. The mean of
    label heads of pooling and one dense layer is such a head on all maps: so the ensemble is explained, calibrated,
    stored, exported and served as one network, and its Grad-CAM has the same closed form.

    Args:
        members: from `build_multitask`, all alike but for their weights, at least one; trained, not calibrated. The
            ensemble shares their encoders and mask heads and copies their label heads.

    Returns:
        As `build_multitask`.
    """
    encoder = _side_by_side(_parts(members, "encoder"))
    mask_head = _mean(_parts(members, "mask_head"), encoder)
    label_head = build_label_head(encoder)
    dense = (member.get_layer("label_head").get_layer("logits") for member in members)
    kernels, biases = zip(*(layer.get_weights() for layer in dense), strict=True)
    label_head.get_layer("logits").set_weights([np.concatenate(kernels) / len(members), np.mean(biases, axis=0)])
    return with_heads(encoder, mask_head, label_head, build_novelty_head(encoder))


def _parts(members: Sequence[keras.Model], name: str) -> list[keras.Model]:
    """A part of each member: the same layers, under a name that no other member has."""
    parts = [member.get_layer(name) for member in members]
    return [keras.Model(part.input, part.output, name=f"{name}_{number}") for number, part in enumerate(parts, start=1)]


def _side_by_side(encoders: Sequence[keras.Model]) -> keras.Model:
    image = keras.Input(encoders[0].input_shape[1:], name="image")
    pyramids = zip(*(encoder(image) for encoder in encoders), strict=True)
    pyramid = [layers.Concatenate(name=f"level_{level}")(maps) for level, maps in enumerate(pyramids)]
    return keras.Model(image, pyramid, name="encoder")


def _mean(mask_heads: Sequence[keras.Model], encoder: keras.Model) -> keras.Model:
    pyramid = [keras.Input(level.shape[1:], dtype=level.dtype) for level in encoder.outputs]
    count = len(mask_heads)
    logits = [
        head([Share(index, count, dtype=level.dtype)(level) for level in pyramid])
        for index, head in enumerate(mask_heads)
    ]
    return keras.Model(pyramid, layers.Average(dtype="float32")(logits), name="mask_head")
