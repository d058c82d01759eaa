"""Runs a SavedModel by its signature `pixels`; needs TensorFlow, but not Keras."""

from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.card import CARD_FILE, Card, parse_card
from busi_keras.errors import UsageError
from busi_keras.inference.engine import INPUT, OUTPUTS, Outputs
from busi_keras.inference.runtime import import_runtime, unreadable

SIGNATURE = "pixels"


class SavedModelEngine:
    """A network in a SavedModel.

    Args:
        saved_model: what `tf.saved_model.load` gave; it has to be kept as long as its signatures.
    """

    def __init__(self, saved_model: Any) -> None:
        self._saved_model = saved_model
        self._pixels = saved_model.signatures[SIGNATURE]

    @classmethod
    def load(cls, version: Path) -> tuple["SavedModelEngine", Card]:
        """The network in a version's folder, and its card.

        Raises:
            UsageError: TensorFlow is not installed, or the folder is damaged, without a card, or has no such signature.
        """
        card_file = version / "assets" / CARD_FILE
        card = parse_card(card_file.read_text(encoding="utf-8") if card_file.exists() else "", version)
        tensorflow = import_runtime("tensorflow", "tensorflow", version)
        try:
            saved_model = tensorflow.saved_model.load(str(version))
        except Exception as error:  # a damaged file makes it raise several kinds
            raise unreadable(version, "saved-model", error) from error
        signature = saved_model.signatures.get(SIGNATURE)
        if signature is None or not set(OUTPUTS) <= set(signature.structured_outputs):
            raise UsageError(
                f"{version} has no signature {SIGNATURE} with {', '.join(OUTPUTS)}; "
                "make it again: python cli.py export RUN"
            )
        return cls(saved_model), card

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs for float32 `(batch, S, S, 3)`, letterboxed, 0-255."""
        results = self._pixels(**{INPUT: images})
        return Outputs(**{name: results[name].numpy() for name in OUTPUTS})
