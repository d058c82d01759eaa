"""Does a heat map depend on what the label head has learned?

Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018: with random weights the map must change.
"""

import keras
import numpy as np

from busi_keras.evaluation.faithfulness import rank_correlation
from busi_keras.explain.gradcam import Features, GradCam

HEADS = 5


class Randomization:
    """The check for one network: its maps against those of `HEADS` random label heads.

    Args:
        cam: of the network.
    """

    def __init__(self, cam: GradCam) -> None:
        self._cam = cam
        self._others = [cam.with_label_head(random_head(cam.label_head, seed)) for seed in range(HEADS)]

    def correlations(self, images: np.ndarray, classes: np.ndarray) -> list[float]:
        """How alike the maps are: near 0 is right, 1 means that the head is ignored.

        Args:
            images: float32 `(batch, S, S, 3)`, letterboxed, 0-255.
            classes: int `(batch,)`, indices into `CLASSES`.

        Returns:
            For each image Spearman's correlation in [-1, 1], the mean over the random heads.
        """
        seen = self._cam.features(images)
        shown = [_shown(seen, index) for index in range(len(images))]
        maps = self._cam.of_features(seen, classes)
        found = [
            [
                rank_correlation(one.values[place], other.values[place])
                for place, one, other in zip(shown, maps, cam.of_features(seen, classes), strict=True)
            ]
            for cam in self._others
        ]
        return np.mean(found, axis=0).tolist()


def _shown(seen: Features, index: int) -> tuple[slice, slice]:
    """The pixels that an image's map speaks of: in a two-stage network its crop, around which all maps are 0 alike."""
    if "squares" not in seen:
        return slice(None), slice(None)
    y, x, side = (float(value) for value in seen["squares"][index])
    return slice(round(y), round(y + side)), slice(round(x), round(x + side))


def random_head(label_head: keras.Model, seed: int) -> keras.Model:
    """A copy of a label head, its kernel drawn from a normal distribution as wide as it is spread."""
    kernel, bias = label_head.get_layer("logits").get_weights()
    head = keras.models.clone_model(label_head)
    drawn = np.random.default_rng(seed).normal(0, kernel.std(), kernel.shape)
    head.get_layer("logits").set_weights([drawn, np.zeros_like(bias)])
    return head
