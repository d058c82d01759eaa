"""The graph that every engine format is made of: the served network, in float32, its weights as constants.

Runs under the TensorFlow backend alone.
"""

import json
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from busi_keras.explain.closed_form import with_heat_map
from busi_keras.export.upsampling import ResizingUpSampling, UpsampledConvolution, fuse_upsampling
from busi_keras.inference.engine import INPUT, OUTPUTS
from busi_keras.inference.engines.keras import KerasEngine


def served_function(model_file: Path, fuse: bool = True) -> Any:
    """The network of a `.keras` file as a `tf.function` without variables; one trained in bfloat16 is float32 here.

    Args:
        fuse: as in `for_inference`.

    Returns:
        `image` float32 `(batch, S, S, 3)`, letterboxed, 0-255 -> `probabilities` `(batch, 3)`, sum 1, `mask` and
        `heatmap` `(batch, S, S)` in [0, 1], `novelty` `(batch,)`; float32 all, of any batch size.

    Raises:
        UsageError: the file cannot be read as a network.
    """
    network = for_inference(KerasEngine.load(model_file).network, fuse)
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


def for_inference(network: keras.Model, fuse: bool = True) -> keras.Model:
    """A copy of a network in float32 with the same weights that upsamples as engines like it.

    Args:
        fuse: compute an upsampling and the convolution after it as one; else upsample in one operation.
    """
    config = _rewritten(json.loads(json.dumps(keras.saving.serialize_keras_object(network))), fuse)
    own = {layer.__name__: layer for layer in (ResizingUpSampling, UpsampledConvolution)}
    copy = keras.saving.deserialize_keras_object(config, own)
    copy.set_weights(network.get_weights())
    return copy


def _rewritten(config: Any, fuse: bool) -> Any:
    if isinstance(config, list):
        return [_rewritten(item, fuse) for item in config]
    if not isinstance(config, dict):
        return config
    config = {key: _rewritten(value, fuse) for key, value in config.items()}
    if config.get("class_name") == "UpSampling2D" and config["config"]["interpolation"] == "nearest":
        config |= {"module": None, "class_name": "ResizingUpSampling", "registered_name": "ResizingUpSampling"}
    if fuse and config.get("class_name") == "Functional":
        fuse_upsampling(config["config"]["layers"])
    return config
