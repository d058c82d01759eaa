"""Grad-CAM: which places of the last feature map a class's logit hangs on, on every backend.

Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", ICCV 2017.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from busi_keras.explain.gradients import value_gradient
from busi_keras.imaging import resize
from busi_keras.models.two_stage import crop_squares, mask_boxes


@dataclass(frozen=True)
class HeatMap:
    """Where a class's evidence lies.

    Attributes:
        values: float32 `(S, S)` in [0, 1], on the network's letterboxed input; 1 is the largest value of
            the coarse map, which smoothing may lower.
        flat: nothing speaks for the class: every value is 0.
    """

    values: np.ndarray
    flat: bool


def gradcam(network: keras.Model, images: np.ndarray, classes: np.ndarray) -> list[HeatMap]:
    """The heat map of one class for each image.

    Only the label head is differentiated. In a two-stage network the map of the crop is put back into its place.

    Args:
        network: as `models.build` makes it.
        images: float32 `(batch, S, S, 3)`, letterboxed, 0-255.
        classes: int `(batch,)`, indices into `CLASSES`: which logit to explain.

    Returns:
        One map an image.
    """
    seen = ops.convert_to_tensor(images, "float32")
    squares = None
    if network.name == "two_stage":
        segmenter = next(layer for layer in network.layers if layer.name in ("unet", "attention_unet"))
        logits = segmenter(seen, training=False)["mask"]
        squares = ops.convert_to_numpy(crop_squares(mask_boxes(logits), images.shape[1]))
        seen = network.get_layer("crop")(seen, logits)
        network = network.get_layer("classifier")
    label_head = network.get_layer("label_head")
    activations = ops.cast(network.get_layer("encoder")(seen, training=False)[-1], "float32")
    chosen = ops.one_hot(ops.convert_to_tensor(classes, "int32"), label_head.output.shape[-1], dtype="float32")

    gradients = value_gradient(lambda maps: ops.sum(label_head(maps, training=False) * chosen), activations)
    channel_weights = gradients.mean(axis=(1, 2), keepdims=True)
    coarse = np.maximum((ops.convert_to_numpy(activations) * channel_weights).sum(axis=-1), 0)
    return [_heat_map(coarse[i], images.shape[1], None if squares is None else squares[i]) for i in range(len(images))]


def _heat_map(coarse: np.ndarray, size: int, square: np.ndarray | None) -> HeatMap:
    """Upsampled to the input, in its place, and scaled to [0, 1]."""
    top = float(coarse.max())
    if top <= 0:
        return HeatMap(np.zeros((size, size), np.float32), flat=True)
    if square is None:
        return HeatMap(resize(coarse / top, size, size), flat=False)
    y, x, side = (round(float(value)) for value in square)
    values = np.zeros((size, size), np.float32)
    values[y : y + side, x : x + side] = resize(coarse / top, side, side)[: size - y, : size - x]
    return HeatMap(values, flat=False)
