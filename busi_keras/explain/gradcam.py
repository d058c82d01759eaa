"""Grad-CAM and its relatives: which places of the last feature map a class, or the mask, hangs on.

Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", ICCV 2017; for
masks Vinogradova, Dibrov, Myers, "Towards interpretable semantic segmentation via Grad-CAM", AAAI 2020.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from busi_keras.errors import UsageError
from busi_keras.explain.flow import trace
from busi_keras.explain.gradients import gradient
from busi_keras.explain.heat_map import heat_maps
from busi_keras.explain.methods import METHODS, Method
from busi_keras.models.sampling import Tensor

Features = dict[str, np.ndarray]
"""The last map, and in a two-stage network the squares that it shows."""


@dataclass(frozen=True)
class HeatMap:
    """Where the evidence lies.

    Attributes:
        values: float32 `(S, S)` in [0, 1], on the network's letterboxed input; 1 is the largest value of
            the coarse map, which smoothing may lower.
        flat: nothing speaks for the target, or no place more than another: every value is 0.
    """

    values: np.ndarray
    flat: bool


class GradCam:
    """Heat maps of one network. Only the head is differentiated, at the last feature map, and at logits.

    Args:
        network: as `models.build` makes it.
        method: key of `methods.METHODS`.

    Raises:
        UsageError: there is no such method.

    Example:
        >>> GradCam(network).of_class(images, np.array([1]))[0].values.shape
        (224, 224)
    """

    def __init__(self, network: keras.Model, method: str = "gradcam") -> None:
        if method not in METHODS:
            raise UsageError(f"--method is {method}; it must be one of {', '.join(METHODS)}")
        self._method = METHODS[method]
        self._flow = flow = trace(network)
        shown = {"features": flow.features} | ({} if flow.squares is None else {"squares": flow.squares})
        self._features = keras.Model(flow.image, shown) if flow.label_head else None
        self._pyramid = (
            keras.Model(flow.image, {"pyramid": flow.pyramid, "mask": flow.mask}) if flow.mask_head else None
        )

    def of_class(self, images: np.ndarray, classes: np.ndarray) -> list[HeatMap]:
        """The heat map of one class for each image; in a two-stage network the crop's map is put back into its place.

        Args:
            images: float32 `(batch, S, S, 3)`, letterboxed, 0-255.
            classes: int `(batch,)`, indices into `CLASSES`: which logit to explain.
        """
        return self.of_features(self.features(images), classes)

    def features(self, images: np.ndarray) -> Features:
        """What `of_features` explains: the part of the network before the label head, run on images."""
        if self._features is None:
            raise UsageError("this network has no label head; use one that classifies, or explain its lesion")
        return self._features.predict_on_batch(images)

    def of_features(self, seen: Features, classes: np.ndarray) -> list[HeatMap]:
        """As `of_class`, for images whose features are known."""
        activations = ops.convert_to_tensor(seen["features"], "float32")
        score = class_score(self._flow.label_head, ops.convert_to_tensor(classes, "int32"))
        coarse = coarse_maps(score, activations, self._method)
        squares = ops.convert_to_tensor(seen["squares"]) if "squares" in seen else None
        return _numpy(heat_maps(coarse, squares, self._flow.size))

    @property
    def label_head(self) -> keras.Model | None:
        """What is differentiated for a class."""
        return self._flow.label_head

    def with_label_head(self, label_head: keras.Model) -> "GradCam":
        """The same network, explained as if another label head stood on it."""
        other = copy.copy(self)
        other._flow = replace(self._flow, label_head=label_head)
        return other

    def of_lesion(self, images: np.ndarray) -> list[HeatMap]:
        """The heat map of the predicted mask for each image: of the sum of its logits inside the predicted lesion.

        Skip connections are held constant. Where no lesion is predicted there is nothing to explain: the map is flat.

        Args:
            images: float32 `(batch, S, S, 3)`, letterboxed, 0-255.
        """
        if self._pyramid is None:
            raise UsageError("this network has no mask head; give one that segments, or explain a class")
        seen = self._pyramid.predict_on_batch(images)
        *skips, last = [ops.convert_to_tensor(feature) for feature in seen["pyramid"]]
        lesion = ops.cast(ops.convert_to_tensor(seen["mask"]) > 0, "float32")
        score = lesion_score(self._flow.mask_head, skips, lesion)
        return _numpy(heat_maps(coarse_maps(score, ops.cast(last, "float32"), self._method), None, self._flow.size))


def class_score(label_head: keras.Model, classes: Tensor) -> Callable[[Tensor], Tensor]:
    """The sum over a batch of one class's logit an image, as a function of the last feature map."""
    chosen = ops.one_hot(classes, label_head.output.shape[-1], dtype="float32")
    return lambda features: ops.sum(label_head(features, training=False) * chosen)


def lesion_score(mask_head: keras.Model, skips: Sequence[Tensor], lesion: Tensor) -> Callable[[Tensor], Tensor]:
    """The sum of mask logits inside `lesion`, float32 `(batch, S, S, 1)`, as a function of the last feature map."""
    return lambda features: ops.sum(mask_head([*skips, features], training=False) * lesion)


def coarse_maps(score: Callable[[Tensor], Tensor], activations: Tensor, method: Method) -> Tensor:
    """The weighted sum of the channels, what is negative left out: float32 `(batch, h, w)`.

    Args:
        score: activations -> scalar.
        activations: float32 `(batch, h, w, channels)`.
    """
    weights = method(activations, gradient(score, activations))
    return ops.relu(ops.sum(activations * weights, axis=-1))


def _numpy(values: Tensor) -> list[HeatMap]:
    return [HeatMap(one, flat=not one.any()) for one in ops.convert_to_numpy(values)]
