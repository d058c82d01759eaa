"""The fused BatchNormalization against Keras' own: outputs, gradients, statistics, and all that must not be fused."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from busi_keras.models.normalization import FusedBatchNormalization, fuse_batch_norm

pytestmark = pytest.mark.backends


def trained_step(layer: layers.Layer, x: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
    """Outputs, then what one step of gradient descent leaves in all weights, which shows gradients and statistics."""
    inputs = keras.Input(x.shape[1:])
    scaled = layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer="ones")(inputs)
    model = keras.Model(inputs, layer(scaled))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in layer.get_weights()])
    model.compile(keras.optimizers.SGD(1.0), lambda true, found: ops.mean(ops.cast(found, "float32") * true))
    model.train_on_batch(x, weight)
    return [ops.convert_to_numpy(ops.cast(model(x, training=True), "float32")), *model.get_weights()]


@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 2e-4), ("mixed_bfloat16", 3e-2)])
@pytest.mark.parametrize("epsilon", [1e-3, 1.001e-5])
def test_a_step_is_that_of_keras_own_layer(policy: str, tolerance: float, epsilon: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4, 6, 5, 8)) * rng.uniform(0.3, 3, 8) + 2).astype(np.float32)
    weight = rng.normal(size=x.shape).astype(np.float32)
    options: dict[str, Any] = {"momentum": 0.9, "epsilon": epsilon, "dtype": policy}
    expected = trained_step(layers.BatchNormalization(**options), x, weight)
    found = trained_step(FusedBatchNormalization(**options), x, weight)
    assert len(found) == len(expected) == 6
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_a_frozen_layer_keeps_its_statistics() -> None:
    layer = FusedBatchNormalization()
    layer.build((None, 4, 4, 3))
    layer.trainable = False
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    outputs = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose(outputs, x / np.sqrt(1.001), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


def test_a_fused_network_keeps_names_settings_and_outputs() -> None:
    inputs = keras.Input((16, 16, 3), name="image")
    x = layers.BatchNormalization(momentum=0.8, name="norm")(layers.Conv2D(4, 3, name="conv")(inputs))
    network = keras.Model(inputs, x)
    fused = fuse_batch_norm(network)
    fused.set_weights(network.get_weights())
    assert type(fused.get_layer("norm")) is FusedBatchNormalization
    assert fused.get_layer("norm").momentum == 0.8
    assert [layer.name for layer in fused.layers] == [layer.name for layer in network.layers]
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(ops.convert_to_numpy(fused(images)), ops.convert_to_numpy(network(images)), atol=1e-6)
