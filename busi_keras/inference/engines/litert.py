"""Runs a LiteRT file (`.tflite`) with ai-edge-litert; needs neither Keras nor TensorFlow."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.card import Card, read_card
from busi_keras.inference.engine import INPUT, OUTPUTS, Outputs
from busi_keras.inference.runtime import import_runtime, unreadable


class LiteRtEngine:
    """A network in LiteRT, on the CPU.

    Args:
        interpreter: an `ai_edge_litert.interpreter.Interpreter`.
    """

    def __init__(self, interpreter: Any) -> None:
        self._run = interpreter.get_signature_runner()

    @classmethod
    def load(cls, path: Path, threads: int = 0) -> tuple["LiteRtEngine", Card]:
        """The network in a `.tflite` file, and its card.

        Args:
            threads: that run it; 0 for as many as there are cores.

        Raises:
            UsageError: ai-edge-litert is not installed, or the file is missing, damaged or without a card.
        """
        litert = import_runtime("ai_edge_litert.interpreter", "ai-edge-litert", path)
        card = read_card(path)
        try:
            return cls(litert.Interpreter(str(path), num_threads=threads or os.cpu_count())), card
        except (ValueError, RuntimeError) as error:
            raise unreadable(path, "litert", error) from error

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs for float32 `(batch, S, S, 3)`, letterboxed, 0-255."""
        results = self._run(**{INPUT: images})
        return Outputs(**{name: results[name] for name in OUTPUTS})
