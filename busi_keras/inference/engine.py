"""What every engine does: letterboxed pixels in, probabilities out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

INPUT = "image"
OUTPUTS = ("probabilities", "mask", "heatmap", "novelty")
"""What input and outputs are called in every stored format."""


@dataclass(frozen=True)
class Outputs:
    """What a network says of a batch.

    Attributes:
        mask: float32 `(batch, S, S)`, the probability of lesion in each pixel, letterboxed.
        probabilities: float32 `(batch, 3)`, in the order of `CLASSES`, sum 1.
        heatmap: float32 `(batch, S, S)` in [0, 1], Grad-CAM of the predicted class, letterboxed; 0 everywhere where
            nothing speaks for it.
        novelty: float32 `(batch,)`, how unlike the training images: around 1 is alike, larger is not.
    """

    mask: np.ndarray
    probabilities: np.ndarray
    heatmap: np.ndarray
    novelty: np.ndarray


class Engine(Protocol):
    """A stored network that can be run."""

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs for float32 `(batch, S, S, 3)`, letterboxed, 0-255."""
