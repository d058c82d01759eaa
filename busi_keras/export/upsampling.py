"""Upsampling as engines like it. Runs under the TensorFlow backend alone."""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers, ops

from busi_keras.models.sampling import Tensor


class ResizingUpSampling(layers.UpSampling2D):
    """`keras.layers.UpSampling2D` to the nearest pixel, as one operation.

    Keras repeats rows and columns, which loses the map's size in the graph: no engine can plan its memory then.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """The map, `size` times as high and wide."""
        height, width = (inputs.shape[axis] * factor for axis, factor in zip((1, 2), self.size, strict=True))
        return ops.image.resize(inputs, (height, width), interpolation=self.interpolation)


class UpsampledConvolution(layers.Conv2D):
    """`UpSampling2D(2)` to the nearest pixel and a 3x3 `Conv2D` in one, with 4 instead of 9 products an output.

    A 3x3 window of a map whose pixels stand there twice, both ways, sees 2x2 different ones, so that each of the four
    positions in a doubled pixel has its own 2x2 kernel, a sum of the 3x3 kernel's taps (Shi et al., "Is the
    deconvolution layer the same as a convolutional layer?", 2016). The weights are those of the 3x3 convolution.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """The convolved map, twice as high and wide."""
        with tf.init_scope():  # kernels are summed here, once, and not in each engine
            kernel = self.kernel.numpy()
        phases = []
        for row in (0, 1):
            for column in (0, 1):
                taps = _seen(_seen(kernel, 0, row), 1, column)
                padded = tf.pad(inputs, [[0, 0], [1 - row, row], [1 - column, column], [0, 0]])
                phases.append(tf.nn.conv2d(padded, taps, 1, "VALID"))
        outputs = tf.nn.depth_to_space(tf.concat(phases, axis=-1), 2)
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Twice as high and wide, `filters` deep."""
        return (input_shape[0], 2 * input_shape[1], 2 * input_shape[2], self.filters)


def fuse_upsampling(network: list[dict[str, Any]]) -> None:
    """Turns each nearest upsampling that one 3x3 convolution alone follows into an `UpsampledConvolution`, in place.

    Args:
        network: the layers in a functional model's configuration.
    """
    layer_of = {layer["name"]: layer for layer in network}
    sources = {name: _sources(layer["inbound_nodes"]) for name, layer in layer_of.items()}
    for name, layer in layer_of.items():
        before = layer_of[sources[name][0]] if len(sources[name]) == 1 else None
        if before is None or not (_doubles(before) and _is_plain_3x3(layer)):
            continue
        if sum(before["name"] in found for found in sources.values()) > 1:
            continue
        layer |= {"module": None, "class_name": "UpsampledConvolution", "registered_name": "UpsampledConvolution"}
        kept = {key: before["config"][key] for key in ("name", "trainable", "dtype")}
        before |= {"module": "keras.layers", "class_name": "Identity", "registered_name": None, "config": kept}


def _seen(kernel: np.ndarray, axis: int, phase: int) -> np.ndarray:
    """The two taps that the first (0) or second (1) half of a doubled pixel has along an axis."""
    first, middle, last = np.split(kernel, 3, axis)
    return np.concatenate([first, middle + last] if phase == 0 else [first + middle, last], axis)


def _doubles(layer: dict[str, Any]) -> bool:
    config = layer["config"]
    return (
        layer["class_name"] in ("UpSampling2D", "ResizingUpSampling")
        and config["interpolation"] == "nearest"
        and list(config["size"]) == [2, 2]
    )


def _is_plain_3x3(layer: dict[str, Any]) -> bool:
    wanted = {"kernel_size": [3, 3], "strides": [1, 1], "dilation_rate": [1, 1], "padding": "same", "groups": 1}
    return layer["class_name"] == "Conv2D" and all(
        (list(layer["config"][key]) if isinstance(value, list) else layer["config"][key]) == value
        for key, value in wanted.items()
    )


def _sources(nodes: Any) -> list[str]:
    """Names of the layers whose outputs a layer takes."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            return [nodes["keras_history"][0]]
        nodes = list(nodes.values())
    return [name for node in nodes for name in _sources(node)] if isinstance(nodes, list) else []
