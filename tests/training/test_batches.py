import numpy as np
import pytest

from busi_keras.training.batches import Arrays, TrainingBatches, ValidationBatches
from busi_keras.training.crops import WHOLE_LESION, WHOLE_NORMAL, CropBoxes

SIZE = 32


@pytest.fixture
def arrays() -> Arrays:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (22, SIZE, SIZE, 3), dtype=np.uint8)
    masks = np.zeros((22, SIZE, SIZE, 1), np.uint8)
    labels = np.arange(22, dtype=np.int32) % 3
    masks[labels != 2, 8:16, 10:22] = 1
    return Arrays(images, masks, labels)


def test_an_epoch_shows_each_image_once_but_the_left_over_ones(arrays: Arrays) -> None:
    batches = TrainingBatches(arrays, 5, seed=1, epoch=0)
    assert batches.num_batches == 4
    seen = np.concatenate([batches[step][0]["image"] for step in range(4)])
    matches = (seen[:, None] == arrays.images[None]).all(axis=(2, 3, 4))
    assert matches.sum() == 20
    assert (matches.sum(axis=0) <= 1).all()


@pytest.mark.parametrize("counts", [(14, 7, 1), (0, 17, 5)])
def test_balanced_classes_come_equally_often_and_their_images_too(arrays: Arrays, counts: tuple[int, ...]) -> None:
    labels = np.repeat(np.arange(3, dtype=np.int32), counts)
    batches = TrainingBatches(Arrays(arrays.images, arrays.masks, labels), 22, 1, 0, augment=0, class_balance=True)
    seen = batches[0][0]
    times = (seen["image"][:, None] == arrays.images[None]).all(axis=(2, 3, 4)).sum(axis=0)
    drawn = np.bincount(seen["label"], minlength=3)[np.flatnonzero(counts)]
    assert drawn.sum() == 22
    assert np.ptp(drawn) <= 1
    for label in np.flatnonzero(counts):
        assert np.ptp(times[labels == label]) <= 1
    assert (np.diff(seen["label"]) != 0).sum() > 5


def test_a_batch_is_a_function_of_seed_epoch_and_step(arrays: Arrays) -> None:
    first = TrainingBatches(arrays, 5, seed=1, epoch=3)[2][0]
    again = TrainingBatches(arrays, 5, seed=1, epoch=3)[2][0]
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    for other in (
        TrainingBatches(arrays, 5, 2, 3)[2],
        TrainingBatches(arrays, 5, 1, 4)[2],
        TrainingBatches(arrays, 5, 1, 3)[1],
    ):
        assert (other[0]["noise"] != first["noise"]).any()
        assert (other[0]["image"] != first["image"]).any()


def test_without_augmentation_only_images_masks_and_labels_are_sent(arrays: Arrays) -> None:
    assert set(TrainingBatches(arrays, 5, 1, 0, augment=0)[0][0]) == {"image", "mask", "label"}


def test_fewer_images_than_a_batch_make_one_batch(arrays: Arrays) -> None:
    few = Arrays(arrays.images[:3], arrays.masks[:3], arrays.labels[:3])
    batches = TrainingBatches(few, 16, 1, 0)
    assert batches.num_batches == 1
    assert batches[0][0]["image"].shape == (3, SIZE, SIZE, 3)


def test_validation_shows_all_images_in_their_order(arrays: Arrays) -> None:
    batches = ValidationBatches(arrays, 5)
    seen = np.concatenate([batches[step][0]["image"] for step in range(batches.num_batches)])
    np.testing.assert_array_equal(seen, arrays.images)


def test_crop_boxes_imitate_a_segmenter_for_every_class(arrays: Arrays) -> None:
    draw = CropBoxes(arrays)
    indices = np.repeat(np.arange(22), 100)
    boxes = draw(np.random.default_rng(2), indices)
    whole = (boxes == [0, 0, SIZE, SIZE]).all(axis=1)
    normal = arrays.labels[indices] == 2
    assert whole[normal].mean() == pytest.approx(WHOLE_NORMAL, abs=0.05)
    assert whole[~normal].mean() == pytest.approx(WHOLE_LESION, abs=0.05)
    np.testing.assert_allclose(boxes[~normal & ~whole].mean(axis=0), [8, 10, 16, 22], atol=0.5)
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(np.median(sides[normal & ~whole], axis=0), [8, 12], atol=0.7)
