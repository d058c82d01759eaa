"""Test-time augmentation: an image and its mirror image, averaged."""

import numpy as np

from busi_keras.inference.engine import Engine, Outputs


class FlipAveraging:
    """An engine that runs each image a second time, mirrored left to right, and averages what comes out.

    It takes twice as long. Masks and heat maps of the mirror image are mirrored back.

    Args:
        engine: runs the network.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs for float32 `(batch, S, S, 3)`, letterboxed, 0-255."""
        seen, mirrored = self._engine.run(images), self._engine.run(np.ascontiguousarray(images[:, :, ::-1]))
        return Outputs(
            mask=(seen.mask + mirrored.mask[:, :, ::-1]) / 2,
            probabilities=(seen.probabilities + mirrored.probabilities) / 2,
            heatmap=(seen.heatmap + mirrored.heatmap[:, :, ::-1]) / 2,
            novelty=(seen.novelty + mirrored.novelty) / 2,
        )
