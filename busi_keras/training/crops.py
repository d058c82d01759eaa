"""What the classifier of the two-stage approach is trained on: crops as a segmenter makes them, not as experts would.

True masks say too much: a normal image's is empty. So every class is seen as a whole image at times, lesions in boxes
that are off by chance, normal images in boxes that lie anywhere; and validation uses the boxes that the trained
segmenter predicts.
"""

import keras
import numpy as np

from busi_keras.config import NORMAL
from busi_keras.training.batches import Arrays

WHOLE_LESION = 0.2
WHOLE_NORMAL = 0.6
"""How often a training image is not cropped: a good segmenter finds nothing in most normal images."""
JITTER = 0.2
"""Standard deviation of a box's shift and of its logarithmic size, in sides."""


class CropBoxes:
    """Draws a training box for each image: y0, x0, y1, x1 in pixels of the square input.

    Args:
        arrays: the training images with their true masks.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._size = arrays.size
        self._labels = arrays.labels
        self._boxes = np.stack([_box(mask[..., 0], arrays.size) for mask in arrays.masks])
        lesions = self._boxes[arrays.labels != NORMAL]
        self._sides = lesions[:, 2:] - lesions[:, :2]

    def __call__(self, rng: np.random.Generator, indices: np.ndarray) -> np.ndarray:
        """Boxes `(batch, 4)` for the images at `indices`."""
        normal = self._labels[indices] == NORMAL
        boxes = np.where(normal[:, None], self._anywhere(rng, len(indices)), self._boxes[indices])
        boxes = self._jittered(rng, boxes)
        whole = rng.random(len(indices)) < np.where(normal, WHOLE_NORMAL, WHOLE_LESION)
        return np.where(whole[:, None], [0, 0, self._size, self._size], boxes)

    def _anywhere(self, rng: np.random.Generator, count: int) -> np.ndarray:
        sides = self._sides[rng.integers(len(self._sides), size=count)]
        corners = rng.random((count, 2)) * (self._size - sides)
        return np.concatenate([corners, corners + sides], axis=1)

    def _jittered(self, rng: np.random.Generator, boxes: np.ndarray) -> np.ndarray:
        sides = boxes[:, 2:] - boxes[:, :2]
        centres = (boxes[:, 2:] + boxes[:, :2]) / 2 + JITTER * sides * rng.standard_normal(sides.shape)
        sides = sides * np.exp(JITTER * rng.standard_normal(sides.shape))
        return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def predicted_crops(segmenter: keras.Model, crop: keras.layers.Layer, arrays: Arrays, batch_size: int) -> Arrays:
    """The crops that the trained segmenter makes of `arrays`: images alone, for the classifier's validation."""
    crops = np.empty_like(arrays.images)
    for start in range(0, len(arrays), batch_size):
        images = arrays.images[start : start + batch_size].astype(np.float32)
        logits = segmenter.predict_on_batch(images)["mask"]
        crops[start : start + batch_size] = np.rint(keras.ops.convert_to_numpy(crop(images, logits)))
    return Arrays(crops, np.zeros_like(arrays.masks), arrays.labels)


def _box(mask: np.ndarray, size: int) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.array([0, 0, size, size], float)
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], float)
