import numpy as np
import pytest

from busi_keras.evaluation.public_table import BATCH, public_score
from busi_keras.evaluation.scores import ImageScore, overlap


def drawn(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted masks, bool `(count, 16, 16)`."""
    true = rng.random((count, 16, 16)) < rng.uniform(0.05, 0.6, (count, 1, 1))
    return true, true ^ (rng.random(true.shape) < 0.2)


def score(true: np.ndarray, predicted: np.ndarray) -> ImageScore:
    return ImageScore("x", 0, 0, (1, 0, 0), overlap(true, predicted), float(true.mean()), float(predicted.mean()))


def test_pixels_of_a_batch_are_pooled_and_batches_weighed_by_size() -> None:
    rng = np.random.default_rng(0)
    splits = [drawn(rng, 11), drawn(rng, 11)]
    expected = []
    for true, predicted in splits:
        ious, f1s = [], []
        for part in (slice(0, BATCH), slice(BATCH, None)):
            common, either = (true[part] & predicted[part]).sum(), (true[part] | predicted[part]).sum()
            sensitivity, precision = common / true[part].sum(), common / predicted[part].sum()
            ious.append(common / either)
            f1s.append(2 * sensitivity * precision / (sensitivity + precision))
        expected.append([np.average(values, weights=[8, 3]) for values in (ious, f1s)])
    found = public_score([[score(*pair) for pair in zip(*masks, strict=True)] for masks in splits])
    assert (found.iou, found.f1) == pytest.approx(np.mean(expected, axis=0))
    assert (found.iou_deviation, found.f1_deviation) == pytest.approx(np.std(expected, axis=0))


def test_nothing_found_where_nothing_is_counts_as_right() -> None:
    empty = np.zeros((16, 16), bool)
    assert public_score([[score(empty, empty)]]).iou == 1
