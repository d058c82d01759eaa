"""Runs an ONNX file in ONNX Runtime; needs neither Keras nor TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.card import CARD_FILE, Card, parse_card
from busi_keras.inference.engine import INPUT, OUTPUTS, Outputs
from busi_keras.inference.runtime import import_runtime, unreadable

ERRORS_ONLY = 3


class OnnxEngine:
    """A network in ONNX Runtime, on the CPU.

    Args:
        session: an `onnxruntime.InferenceSession`.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def load(cls, path: Path, threads: int = 0) -> tuple["OnnxEngine", Card]:
        """The network in an `.onnx` file, and its card.

        Args:
            threads: that run it; 0 for as many as there are cores.

        Raises:
            UsageError: ONNX Runtime is not installed, or the file is missing, damaged or without a card.
        """
        onnxruntime = import_runtime("onnxruntime", "onnxruntime", path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # a damaged file makes it raise several kinds
            raise unreadable(path, "onnx", error) from error
        return cls(session), parse_card(session.get_modelmeta().custom_metadata_map.get(CARD_FILE, ""), path)

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs for float32 `(batch, S, S, 3)`, letterboxed, 0-255."""
        return Outputs(**dict(zip(OUTPUTS, self._session.run(OUTPUTS, {INPUT: images}), strict=True)))
