"""A network that was trained in bfloat16, computing in float32: so it gives the same numbers wherever it runs."""

import json
from typing import Any

import keras

_WIDER = {"mixed_bfloat16": "float32", "bfloat16": "float32"}


def in_float32(network: keras.Model) -> keras.Model:
    """The network, where it computes in float32; else a copy with the same weights that does."""
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
    wider = _widened(config)
    if wider == config:
        return network
    copy = keras.saving.deserialize_keras_object(wider)
    copy.set_weights(network.get_weights())
    return copy


def _widened(config: Any) -> Any:
    if isinstance(config, list):
        return [_widened(item) for item in config]
    if isinstance(config, dict):
        return {key: _widened(value) for key, value in config.items()}
    return _WIDER.get(config, config) if isinstance(config, str) else config
