"""An ONNX file, with the card in its `metadata_props`."""

from pathlib import Path
from typing import Any

from busi_keras.card import CARD_FILE, Card
from busi_keras.files import replacing

OPSET = 18


def write(function: Any, card: Card, target: Path) -> None:
    """Converts `graph.served_function` and writes it to `target`, an `.onnx` file."""
    import onnx
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    patch_tf2onnx()  # tf2onnx itself was written for NumPy 1
    model, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=OPSET)
    for node in model.graph.node:
        if node.op_type == "Resize":
            _double_by_repeating(node)
    entry = model.metadata_props.add()
    entry.key, entry.value = CARD_FILE, card.to_json()
    with replacing(target) as part:
        onnx.save(model, str(part))


def _double_by_repeating(resize: Any) -> None:
    """States the same upsampling in the words of this opset; tf2onnx's are deprecated, and slower in ONNX Runtime."""
    for attribute in resize.attribute:
        if attribute.name == "coordinate_transformation_mode" and attribute.s == b"tf_half_pixel_for_nn":
            attribute.s = b"asymmetric"
        if attribute.name == "nearest_mode":
            attribute.s = b"floor"
