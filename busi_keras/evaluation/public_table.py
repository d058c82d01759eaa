"""IoU and F1 as the public segmentation table of BUSI computes them.

github.com/FengheTan9/Medical-Image-Segmentation-Benchmarks, `src/utils/metrics.py` and `main.py`: the pixels of a
validation batch are pooled, its images taken in the order of the list, and batches are averaged by their size. A large
lesion counts more than in a mean over images. Published is the mean of three splits and their standard deviation.

The same here: the splits, 256 x 256 pixels, threshold 0.5, an epoch chosen on the images that are scored. Not the same,
or not known: batches of 8, as in the README's command; the epoch is chosen by Dice and accuracy, there by IoU alone;
all masks of an image are OR-ed, there it keeps one file an image; a mask is shrunk by averaging, there by its nearest
pixel; the network sees the image with its aspect ratio kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from busi_keras.evaluation.scores import ImageScore

BATCH = 8


@dataclass(frozen=True)
class PublicScore:
    """Mean over splits and standard deviation, each in [0, 1]."""

    iou: float
    iou_deviation: float
    f1: float
    f1_deviation: float


PUBLISHED = {
    "U-Net": PublicScore(0.6861, 0.0286, 0.7697, 0.0310),
    "Attention U-Net": PublicScore(0.6855, 0.0322, 0.7688, 0.0350),
    "TransUnet": PublicScore(0.7139, 0.0237, 0.7985, 0.0259),
    "CMUNeXt": PublicScore(0.7156, 0.0243, 0.7986, 0.0258),
    "Mobile U-ViT": PublicScore(0.7288, 0.0272, 0.8118, 0.0305),
}
"""Rows of the table, as of its commit 2c75eee: the usual ones, and the three best."""


def public_score(splits: Sequence[Sequence[ImageScore]]) -> PublicScore:
    """The table's scores.

    Args:
        splits: of each split, the scores of its validation images, in the order of `Split.validation`; areas and
            overlaps are of masks of one size.
    """
    pooled = np.array([_pooled(scores) for scores in splits])
    (iou, f1), (iou_deviation, f1_deviation) = pooled.mean(axis=0), pooled.std(axis=0)
    return PublicScore(float(iou), float(iou_deviation), float(f1), float(f1_deviation))


def _pooled(scores: Sequence[ImageScore]) -> tuple[float, float]:
    """IoU and F1 of one split."""
    batches = [scores[start : start + BATCH] for start in range(0, len(scores), BATCH)]
    found = []
    for batch in batches:
        total = sum(one.true_area + one.predicted_area for one in batch)
        common = sum(one.overlap.dice * (one.true_area + one.predicted_area) / 2 for one in batch if one.overlap)
        found.append((common / (total - common), 2 * common / total) if total else (1.0, 1.0))
    iou, f1 = np.average(found, axis=0, weights=[len(batch) for batch in batches])
    return float(iou), float(f1)
