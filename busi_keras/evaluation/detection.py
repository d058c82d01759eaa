"""Whether each lesion is found, whatever its outline: components of masks, matched one to one."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

MATCHING_IOU = 0.3
_EIGHT_NEIGHBOURS = np.ones((3, 3), int)


@dataclass(frozen=True)
class Detection:
    """Lesions of one image.

    Attributes:
        lesions: components of the true mask.
        found: of them, those that a predicted component of its own covers at an IoU above `MATCHING_IOU`.
        false_finds: predicted components that match none.
    """

    lesions: int
    found: int
    false_finds: int


def detect(true: np.ndarray, predicted: np.ndarray) -> Detection:
    """Compares the 8-connected components of two bool masks `(height, width)`."""
    true_parts, n_true = ndimage.label(true, _EIGHT_NEIGHBOURS)
    predicted_parts, n_predicted = ndimage.label(predicted, _EIGHT_NEIGHBOURS)
    pairs = true_parts.ravel() * (n_predicted + 1) + predicted_parts.ravel()
    counts = np.bincount(pairs, minlength=(n_true + 1) * (n_predicted + 1)).reshape(n_true + 1, n_predicted + 1)
    common = counts[1:, 1:]
    union = counts[1:].sum(axis=1)[:, None] + counts[:, 1:].sum(axis=0)[None] - common
    matched = common / union > MATCHING_IOU
    rows, columns = linear_sum_assignment(matched, maximize=True)
    found = int(matched[rows, columns].sum())
    return Detection(n_true, found, n_predicted - found)
