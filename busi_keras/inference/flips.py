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
        probabilities = (seen.probabilities + mirrored.probabilities) / 2
        return Outputs(
            mask=(seen.mask + mirrored.mask[:, :, ::-1]) / 2,
            probabilities=probabilities,
            heatmap=_of_class(
                probabilities.argmax(axis=-1),
                [
                    (seen.probabilities.argmax(axis=-1), seen.heatmap),
                    (mirrored.probabilities.argmax(axis=-1), mirrored.heatmap[:, :, ::-1]),
                ],
            ),
            novelty=(seen.novelty + mirrored.novelty) / 2,
        )


def _of_class(classes: np.ndarray, explained: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The mean of those heat maps that explain the class; 0 everywhere where none does.

    Args:
        classes: int `(batch,)`.
        explained: of each run, the classes that its maps explain, and the maps `(batch, S, S)`.
    """
    weights = np.stack([(classes == of).astype(np.float32) for of, _ in explained])
    maps = np.stack([heatmap for _, heatmap in explained])
    return (weights[..., None, None] * maps).sum(axis=0) / np.maximum(weights.sum(axis=0), 1)[:, None, None]
