"""Does a heat map depend on what the label head has learned?

Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018: with random weights the map must change.
"""

import keras
import numpy as np

from busi_keras.evaluation.faithfulness import rank_correlation
from busi_keras.explain.gradcam import GradCam

HEADS = 5


def randomization(cam: GradCam, images: np.ndarray, classes: np.ndarray) -> list[float]:
    """How alike the maps of the trained head and of random heads are: near 0 is right, 1 means the head is ignored.

    Args:
        images: float32 `(batch, S, S, 3)`, letterboxed, 0-255.
        classes: int `(batch,)`, indices into `CLASSES`.

    Returns:
        For each image Spearman's correlation in [-1, 1], the mean over `HEADS` random heads.
    """
    maps = cam.of_class(images, classes)
    correlations = [
        [
            rank_correlation(one.values, other.values)
            for one, other in zip(maps, cam.with_label_head(head).of_class(images, classes), strict=True)
        ]
        for head in (random_head(cam.label_head, seed) for seed in range(HEADS))
    ]
    return np.mean(correlations, axis=0).tolist()


def random_head(label_head: keras.Model, seed: int) -> keras.Model:
    """A copy of a label head, its weights drawn from a normal distribution as wide as they are spread."""
    rng = np.random.default_rng(seed)
    head = keras.models.clone_model(label_head)
    head.set_weights([rng.normal(0, values.std() or 1, values.shape) for values in label_head.get_weights()])
    return head
