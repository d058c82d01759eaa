from collections.abc import Sequence

import numpy as np
import pytest

from busi_keras.evaluation.public_table import PUBLISHED, public_scores
from busi_keras.evaluation.scores import ImageScore, overlap

Masks = tuple[np.ndarray, np.ndarray]
"""True and predicted, bool `(images, 16, 16)`."""


def drawn(rng: np.random.Generator, count: int) -> Masks:
    true = rng.random((count, 16, 16)) < rng.uniform(0.05, 0.6, (count, 1, 1))
    return true, true ^ (rng.random(true.shape) < 0.2)


def score(true: np.ndarray, predicted: np.ndarray) -> ImageScore:
    return ImageScore("x", 0, 0, (1, 0, 0), overlap(true, predicted), float(true.mean()), float(predicted.mean()))


def as_published(splits: Sequence[Masks], pool: int) -> np.ndarray:
    """IoU and F1 of each split by sensitivity and precision, as the table's code computes them."""
    found = []
    for true, predicted in splits:
        starts = range(0, len(true), pool)
        pairs, sizes = [], []
        for part in (slice(start, start + pool) for start in starts):
            common, either = (true[part] & predicted[part]).sum(), (true[part] | predicted[part]).sum()
            sensitivity, precision = common / true[part].sum(), common / predicted[part].sum()
            pairs.append((common / either, 2 * sensitivity * precision / (sensitivity + precision)))
            sizes.append(len(true[part]))
        found.append(np.average(pairs, axis=0, weights=sizes))
    return np.array(found)


def test_pixels_of_a_pool_are_counted_together_and_pools_weighed_by_size() -> None:
    rng = np.random.default_rng(0)
    splits = [drawn(rng, 11), drawn(rng, 11)]
    found = public_scores([[score(*pair) for pair in zip(*masks, strict=True)] for masks in splits])
    for one, pool in ((found.image_by_image, 1), (found.in_eights, 8)):
        expected = as_published(splits, pool)
        assert (one.iou, one.f1) == pytest.approx(expected.mean(axis=0))
        assert (one.iou_deviation, one.f1_deviation) == pytest.approx(expected.std(axis=0))


def test_the_published_pairs_are_of_single_images() -> None:
    """In a pool F1 = 2 IoU / (1 + IoU): the more the pools differ, the further the mean F1 stays below this."""

    def below(iou: float, f1: float) -> float:
        return 2 * iou / (1 + iou) - f1

    true = np.ones((64, 16, 16), bool)
    predicted = true.copy()
    predicted[:, 12:] = False
    predicted[::8] = False  # of eight lesions one is missed, the others are found to three quarters
    found = public_scores([[score(*pair) for pair in zip(true, predicted, strict=True)]])
    assert below(found.image_by_image.iou, found.image_by_image.f1) > 0.03
    assert below(found.in_eights.iou, found.in_eights.f1) == pytest.approx(0, abs=1e-6)
    assert all(below(one.iou, one.f1) > 0.03 for one in PUBLISHED.values())


def test_nothing_found_where_nothing_is_counts_as_right() -> None:
    empty = np.zeros((16, 16), bool)
    assert public_scores([[score(empty, empty)]]).image_by_image.iou == 1
