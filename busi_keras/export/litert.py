"""A LiteRT file (`.tflite`), with the card appended as a zip archive, as TFLite's metadata carries other files."""

from pathlib import Path
from typing import Any

from busi_keras.card import Card, attach_card
from busi_keras.files import replacing


def write(function: Any, card: Card, target: Path) -> None:
    """Converts `graph.served_function` and writes it to `target`, a `.tflite` file."""
    import tensorflow as tf

    module = tf.Module()
    module.served = function  # what belongs to a module keeps the names of its outputs
    content = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module).convert()
    with replacing(target) as part:
        part.write_bytes(content)
        attach_card(part, card)
