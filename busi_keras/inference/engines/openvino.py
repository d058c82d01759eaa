"""Runs an OpenVINO model, float32 or int8, on the CPU; needs neither Keras nor TensorFlow."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.card import Card, parse_card
from busi_keras.inference.engine import OUTPUTS, Outputs
from busi_keras.inference.processor import adds_8_bit_products_exactly
from busi_keras.inference.runtime import import_runtime, unreadable

CARD_PATH = ["busi_keras", "card"]
"""Where in `rt_info` the card is."""
WEIGHT_BITS_PATH = ["busi_keras", "weight_bits"]
"""Where in the `rt_info` of an int8 model it stands how many bits its weights have."""

FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""What is not int8 stays float32: some processors would take bfloat16 by themselves."""

log = logging.getLogger(__name__)


class OpenVinoEngine:
    """A network in OpenVINO, on the CPU.

    Args:
        network: an `openvino.CompiledModel`.
    """

    def __init__(self, network: Any) -> None:
        self._network = network

    @classmethod
    def load(cls, path: Path, threads: int = 0) -> tuple["OpenVinoEngine", Card]:
        """The network in an `.xml` file and the `.bin` beside it, and its card.

        Args:
            threads: that run it; 0 for as many as there are cores.

        Raises:
            UsageError: OpenVINO is not installed, or a file is missing, damaged or without a card.
        """
        openvino = import_runtime("openvino", "openvino", path)
        settings: dict[str, Any] = {**FLOAT32, "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        try:
            model = core.read_model(path)
            text = model.get_rt_info(CARD_PATH).astype(str) if model.has_rt_info(CARD_PATH) else ""
            card = parse_card(text, path)
            bits = model.get_rt_info(WEIGHT_BITS_PATH).astype(str) if model.has_rt_info(WEIGHT_BITS_PATH) else ""
            network = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise unreadable(path, "openvino", error) from error
        if bits == "8" and not adds_8_bit_products_exactly():
            log.warning(
                "%s has 8-bit weights, and this processor has no VNNI: sums may overflow and results be wrong; "
                "use a model made with --format openvino-int8-avx2",
                path,
            )
        return cls(network), card

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs for float32 `(batch, S, S, 3)`, letterboxed, 0-255."""
        results = self._network(images)
        return Outputs(**{name: results[name] for name in OUTPUTS})
