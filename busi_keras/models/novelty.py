"""How unlike the training images an image is, part of the network: every stored format can warn of it."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from busi_keras.models.sampling import Tensor

COMPONENTS = 32


@keras.saving.register_keras_serializable(package="busi_keras")
class Statistics(layers.Layer):
    """Mean and standard deviation of each channel over a map: `(batch, h, w, channels)` -> `(batch, 2 channels)`."""

    def call(self, feature: Tensor) -> Tensor:
        mean = ops.mean(feature, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(feature - mean), axis=(1, 2))
        return ops.concatenate([mean[:, 0, 0], ops.sqrt(variance)], axis=-1)

    def compute_output_shape(self, feature_shape: tuple) -> tuple:
        return (feature_shape[0], 2 * feature_shape[-1])


@keras.saving.register_keras_serializable(package="busi_keras")
class Novelty(layers.Layer):
    """The Mahalanobis distance of features from the training images' (Lee et al., NeurIPS 2018), over sqrt(features).

    There are fewer training images than features, so the covariance is that of probabilistic principal component
    analysis (Tipping and Bishop, 1999): `components` directions with a variance each, and one variance for all others,
    of features scaled to equal spread. Images like those of training have distances around 1. Until it is fitted
    it gives 0.

    Call with float32 `(batch, features)`; gives float32 `(batch,)`.

    Args:
        components: how many directions have a variance of their own.
    """

    def __init__(self, components: int = COMPONENTS, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.components = components

    def build(self, input_shape: tuple) -> None:
        features = input_shape[-1]
        self.mean = self._weight("mean", (features,))
        self.scale = self._weight("scale", (features,))
        self.directions = self._weight("directions", (features, self.components))
        self.precisions = self._weight("precisions", (self.components,))
        self.residual_precision = self._weight("residual_precision", ())

    def call(self, features: Tensor) -> Tensor:
        scaled = (features - self.mean) * self.scale
        along = ops.matmul(scaled, self.directions)
        residual = scaled - ops.matmul(along, ops.transpose(self.directions))
        squared = ops.sum(along * along * self.precisions, axis=-1)
        squared += ops.sum(residual * residual, axis=-1) * self.residual_precision
        return ops.sqrt(squared / features.shape[-1])

    def fit(self, features: np.ndarray) -> None:
        """Takes mean and covariance from the features of training images, float32 `(n, features)`."""
        mean, spread = features.mean(axis=0), features.std(axis=0)
        scale = 1 / np.maximum(spread, SMALLEST_SPREAD * spread.mean() or 1.0)
        scaled = (features - mean) * scale
        _, singular, directions = np.linalg.svd(scaled, full_matrices=False)
        variances = singular**2 / len(features)
        kept = min(self.components, len(variances) - 1)
        rest = max(float(variances[kept:].sum()) / (features.shape[1] - kept), SMALLEST_VARIANCE)
        padded = np.zeros((features.shape[1], self.components), np.float32)
        padded[:, :kept] = directions[:kept].T
        precisions = np.zeros(self.components, np.float32)
        precisions[:kept] = 1 / np.maximum(variances[:kept], rest)
        for weight, value in (
            (self.mean, mean),
            (self.scale, scale),
            (self.directions, padded),
            (self.precisions, precisions),
            (self.residual_precision, 1 / rest),
        ):
            weight.assign(np.asarray(value, np.float32))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape[:1]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("trainable", None)
        return config | {"components": self.components}

    def _weight(self, name: str, shape: tuple[int, ...]) -> Any:
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)


SMALLEST_VARIANCE = 1e-4
"""Of the residual, where 1 is a feature's own."""
SMALLEST_SPREAD = 0.1
"""Of the mean spread: a feature that hardly varies in training must not decide alone."""


def novelty_head(network: keras.Model) -> keras.Model:
    """The part of a network, as `models.build` makes it, that ends in the distance."""
    classifier = network.get_layer("classifier") if network.name == "two_stage" else network
    return classifier.get_layer("novelty_head")
