"""An OpenVINO model whose convolutions compute in 8-bit integers: a quarter of the size, and faster.

Post-training quantization by NNCF: weights a channel, activations a map, ranges from training images.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.card import Card
from busi_keras.errors import UsageError
from busi_keras.export.openvino import write_openvino
from busi_keras.inference.engines.openvino import FLOAT32, WEIGHT_BITS_PATH

CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData")
PASSED_THROUGH = ("Relu", "Clamp", "MaxPool", "Pad", "Interpolate", "Transpose", "Reshape")
"""Operations that give a feature map where their first input is one."""
JOINING = ("Add", "Subtract", "Multiply", "Concat")
"""Operations that give a feature map where all their inputs are feature maps or constants."""


NOT_SCORED = (
    "Scores and thresholds of malignant are those of the network in float32; this file approximates it in 8-bit "
    "integers and was not scored."
)


def quantize(float_model: Path, images: Iterable[np.ndarray], card: Card, target: Path, weight_bits: int = 8) -> None:
    """Writes the int8 variant of an exported OpenVINO model.

    Only convolutions and what lies between them is quantized. The heads' last layers, sigmoid, softmax, the crop of a
    two-stage network and the heat map stay float32: they are cheap, and they decide. The novelty of quantized feature
    maps is another one, so its threshold is scaled as the images' novelty is.

    Args:
        float_model: an `.xml` file with its `.bin`.
        images: training images, float32 `(1, S, S, 3)`, letterboxed, 0-255; a hundred or more.
        card: what is known of the network.
        target: the `.xml` file to write.
        weight_bits: 8, or 7 for processors that add pairs of 8-bit products in 16 bits, which overflow: x86 without
            VNNI.

    Raises:
        UsageError: NNCF is not installed, or `target` cannot be written.
    """
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise UsageError(
            f"int8 needs {error.name}, which is not installed; pip install -r requirements-engines.txt"
        ) from None

    nncf.set_log_level(logging.ERROR)
    samples = list(images)
    model = openvino.Core().read_model(float_model)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(samples),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(samples),
        ignored_scope=nncf.IgnoredScope(names=kept_in_float(model), validate=False),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.DISABLE if weight_bits == 8 else nncf.OverflowFix.ENABLE,
        ),
    )
    quantized.set_rt_info(str(weight_bits), WEIGHT_BITS_PATH)
    change = 1.0
    if card.novelty_threshold is not None:
        change = float(np.median(_novelty(quantized, samples) / _novelty(model, samples)))
    write_openvino(quantized, card_of_quantized(card, change), target)


def card_of_quantized(card: Card, novelty_change: float) -> Card:
    """What is known of the int8 variant of a network.

    Args:
        card: of the network in float32.
        novelty_change: the typical factor by which the novelty of an image changes.
    """
    note = f"{NOT_SCORED} {card.scores.get('note', '')}".strip()
    threshold = card.novelty_threshold
    return replace(
        card,
        scores={**card.scores, "note": note},
        operating={},
        novelty_threshold=None if threshold is None else threshold * novelty_change,
    )


def _novelty(model: Any, samples: Sequence[np.ndarray]) -> np.ndarray:
    """`(n,)`, of each sample."""
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", FLOAT32)
    return np.array([compiled(sample)["novelty"].item() for sample in samples])


def kept_in_float(model: Any) -> list[str]:
    """Names of the operations of an OpenVINO model that are no convolution and do not lie between convolutions."""
    operations = model.get_ordered_ops()
    features: set[str] = set()
    for operation in operations:
        if _gives_features(operation, features):
            features.add(operation.get_friendly_name())
    last = {
        operation.get_friendly_name()
        for operation in operations
        if operation.get_type_name() in CONVOLUTIONS and not _feeds(operation, features)
    }
    sources = ("Constant", "Parameter", "Result")
    names = [op.get_friendly_name() for op in operations if op.get_type_name() not in sources]
    return [name for name in names if name not in features or name in last]


def _gives_features(operation: Any, features: set[str]) -> bool:
    kind = operation.get_type_name()
    inputs = [operation.input_value(index).get_node() for index in range(operation.get_input_size())]
    if kind in CONVOLUTIONS:
        return True
    if kind in PASSED_THROUGH:
        return inputs[0].get_friendly_name() in features
    computed = [node.get_friendly_name() for node in inputs if node.get_type_name() != "Constant"]
    return kind in JOINING and bool(computed) and all(name in features for name in computed)


def _feeds(operation: Any, features: set[str]) -> bool:
    """Whether a convolution lies after an operation."""
    for output in operation.outputs():
        for target in output.get_target_inputs():
            node = target.get_node()
            if node.get_type_name() in CONVOLUTIONS:
                return True
            if node.get_friendly_name() in features and _feeds(node, features):
                return True
    return False
