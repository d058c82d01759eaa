"""The graph that every engine format is made of: the served network, in float32, its weights as constants.

Runs under the TensorFlow backend alone.
"""

import json
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from busi_keras.explain.closed_form import with_heat_map
from busi_keras.inference.engine import INPUT, OUTPUTS
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.models.sampling import Tensor


class ResizingUpSampling(layers.UpSampling2D):
    """`keras.layers.UpSampling2D` to the nearest pixel, as one operation.

    Keras repeats rows and columns, which loses the map's size in the graph: no engine can plan its memory then.
    """

    def call(self, inputs: Tensor) -> Tensor:
        height, width = (inputs.shape[axis] * factor for axis, factor in zip((1, 2), self.size, strict=True))
        return ops.image.resize(inputs, (height, width), interpolation=self.interpolation)


def served_function(model_file: Path) -> Any:
    """The network of a `.keras` file as a `tf.function` without variables; one trained in bfloat16 is float32 here.

    Returns:
        `image` float32 `(batch, S, S, 3)`, letterboxed, 0-255 -> `probabilities` `(batch, 3)`, sum 1, `mask` and
        `heatmap` `(batch, S, S)` in [0, 1]; float32 all, of any batch size.

    Raises:
        UsageError: the file cannot be read as a network.
    """
    network = for_inference(KerasEngine.load(model_file).network)
    served = with_heat_map(network)
    signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32, name=INPUT)]

    @tf.function(input_signature=signature)
    def run(image: tf.Tensor) -> list[tf.Tensor]:
        outputs = served(image, training=False)
        return [outputs[name] for name in OUTPUTS]

    frozen = convert_variables_to_constants_v2(run.get_concrete_function())

    @tf.function(input_signature=signature)
    def image_to_outputs(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(OUTPUTS, frozen(image), strict=True))

    return image_to_outputs


def for_inference(network: keras.Model) -> keras.Model:
    """A copy of a network with the same weights that computes in float32 and upsamples in one operation."""
    config = _rewritten(json.loads(json.dumps(keras.saving.serialize_keras_object(network))))
    copy = keras.saving.deserialize_keras_object(config, {"ResizingUpSampling": ResizingUpSampling})
    copy.set_weights(network.get_weights())
    return copy


def _rewritten(config: Any) -> Any:
    if isinstance(config, list):
        return [_rewritten(item) for item in config]
    if not isinstance(config, dict):
        return {"mixed_bfloat16": "float32", "bfloat16": "float32"}.get(config, config)
    config = {key: _rewritten(value) for key, value in config.items()}
    if config.get("class_name") == "UpSampling2D" and config["config"]["interpolation"] == "nearest":
        config |= {"module": None, "class_name": "ResizingUpSampling", "registered_name": "ResizingUpSampling"}
    return config
