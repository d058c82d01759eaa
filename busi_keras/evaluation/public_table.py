"""IoU and F1 as the public segmentation table of BUSI has them.

github.com/FengheTan9/Medical-Image-Segmentation-Benchmarks: `src/utils/metrics.py` pools the pixels of the images that
it is given at once, and averages over these pools. Published is the mean of three splits and their standard deviation.

How many images a pool has, the table does not say. Its `main.py` validates in batches, 8 in the README's command; its
`infer.py` image by image, and so does `main.py` of the same authors' CMUNeXt. The numbers decide. In a pool
F1 = 2 IoU / (1 + IoU), so the mean F1 stays below what this makes of the mean IoU, by more the more the pools differ.
In each published row it stays 3.1 to 4.8 points below; ours do 3.3 image by image, .7 with 8 images a pool; and the
authors' CMU-Net, whose own code validates in eights, claims a pair that is .4 apart (73.27 and 84.16), where the table
has 71.42 and 79.49 for it, 3.8 apart. So what is taken image by image stands beside the table; in eights is told, too.

The same here: the splits, 256 x 256 pixels, threshold 0.5, an epoch chosen on the images that are scored, by IoU alone
where `choose_by` says so, as in protocol `lesion-70-30` unless asked otherwise. Not the same: `main.py` trains 300
epochs by default; all masks of an image are OR-ed, there it keeps one file an image; a mask is shrunk by averaging,
there by its nearest pixel; the network sees the image with its aspect ratio kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from busi_keras.evaluation.scores import ImageScore


@dataclass(frozen=True)
class PublicScore:
    """Mean over splits and standard deviation, each in [0, 1].

    Ours is divided by the number of splits, not by one less; by which the published ones are, the table does not say.
    """

    iou: float
    iou_deviation: float
    f1: float
    f1_deviation: float


@dataclass(frozen=True)
class PublicScores:
    """A study's, with each image a pool of its own, as the published ones are, and with the pixels of 8 pooled."""

    image_by_image: PublicScore
    in_eights: PublicScore


PUBLISHED = {
    "U-Net": PublicScore(0.6861, 0.0286, 0.7697, 0.0310),
    "Attention U-Net": PublicScore(0.6855, 0.0322, 0.7688, 0.0350),
    "TransUnet": PublicScore(0.7139, 0.0237, 0.7985, 0.0259),
    "CMUNeXt": PublicScore(0.7156, 0.0243, 0.7986, 0.0258),
    "Mobile U-ViT": PublicScore(0.7288, 0.0272, 0.8118, 0.0305),
}
"""Rows of the table, as of its commit 2c75eee: the usual ones, and the three best."""


def public_scores(splits: Sequence[Sequence[ImageScore]]) -> PublicScores:
    """The table's scores.

    Args:
        splits: of each split, the scores of its validation images, in the order of `Split.validation`; areas and
            overlaps are of masks of one size.
    """
    return PublicScores(_score(splits, 1), _score(splits, 8))


def _score(splits: Sequence[Sequence[ImageScore]], pool: int) -> PublicScore:
    found = np.array([_score_split(scores, pool) for scores in splits])
    (iou, f1), (iou_deviation, f1_deviation) = found.mean(axis=0), found.std(axis=0)
    return PublicScore(float(iou), float(iou_deviation), float(f1), float(f1_deviation))


def _score_split(scores: Sequence[ImageScore], pool: int) -> tuple[float, float]:
    """IoU and F1 of one split; pools are averaged by their size."""
    pools = [scores[start : start + pool] for start in range(0, len(scores), pool)]
    found = []
    for images in pools:
        total = sum(one.true_area + one.predicted_area for one in images)
        common = sum(one.overlap.dice * (one.true_area + one.predicted_area) / 2 for one in images if one.overlap)
        found.append((common / (total - common), 2 * common / total) if total else (1.0, 1.0))
    iou, f1 = np.average(found, axis=0, weights=[len(images) for images in pools])
    return float(iou), float(f1)
