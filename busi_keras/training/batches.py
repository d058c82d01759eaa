"""Images in memory as uint8, and the batches of an epoch, each a function of (seed, epoch, step) alone."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np

from busi_keras.data.busi import Record, read_sample
from busi_keras.imaging import Letterbox
from busi_keras.models.augment import draw_augmentation

READERS = 4

Batch = tuple[dict[str, np.ndarray]]


@dataclass(frozen=True)
class Arrays:
    """Letterboxed images of one part of a split.

    Attributes:
        images: uint8 `(N, S, S, 3)`, 0-255.
        masks: uint8 `(N, S, S, 1)`, 0 or 1.
        labels: int32 `(N,)`, indices into `CLASSES`.
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> int:
        """S, the side of the images in pixels."""
        return int(self.images.shape[1])


def load_arrays(records: Sequence[Record], size: int, progress: Callable[[], None] = lambda: None) -> Arrays:
    """Reads and letterboxes images and masks.

    Args:
        progress: called after each image.

    Raises:
        UsageError: as `data.busi.read_sample`.
    """
    images = np.empty((len(records), size, size, 3), np.uint8)
    masks = np.empty((len(records), size, size, 1), np.uint8)

    def load(index: int) -> None:
        sample = read_sample(records[index])
        box = Letterbox.of(sample.mask, size)
        images[index] = np.rint(box.apply(sample.image))
        masks[index, ..., 0] = box.apply_to_mask(sample.mask)
        progress()

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(load, range(len(records))))
    return Arrays(images, masks, np.array([record.label for record in records], np.int32))


class TrainingBatches(keras.utils.PyDataset):
    """One epoch of training batches, in an order and with an augmentation that follow from (seed, epoch, step).

    Each image comes once, but for those left over after the last whole batch, which sit this epoch out.

    Args:
        arrays: the training images.
        batch_size: images a batch.
        seed, epoch: where chance comes from.
        augment: strength of `models.augment`, whose numbers are sent along; 0 for none.
        boxes: draws the boxes to crop, `(rng, indices) -> (batch, 4)`, for the classifier of the two-stage approach.
        class_balance: each class comes equally often instead: images of a small one come again before the epoch ends,
            some of a large one not at all.
    """

    def __init__(
        self,
        arrays: Arrays,
        batch_size: int,
        seed: int,
        epoch: int,
        augment: float = 1.0,
        boxes: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None,
        class_balance: bool = False,
    ) -> None:
        super().__init__()
        self._arrays, self._augment, self._boxes = arrays, augment, boxes
        self._chance = [seed, epoch]
        self._batch_size = min(batch_size, len(arrays))
        rng = np.random.default_rng(self._chance)
        self._order = _balanced(rng, arrays.labels) if class_balance else rng.permutation(len(arrays))

    @property
    def num_batches(self) -> int:
        return len(self._order) // self._batch_size

    def __getitem__(self, step: int) -> Batch:
        indices = self._order[step * self._batch_size : (step + 1) * self._batch_size]
        batch = _pick(self._arrays, indices)
        rng = np.random.default_rng([*self._chance, step + 1])
        if self._augment or self._boxes:
            batch |= draw_augmentation(rng, len(indices), self._arrays.size, self._augment)
        if self._boxes:
            batch["box"] = self._boxes(rng, indices).astype(np.float32)
        return (batch,)


class ValidationBatches(keras.utils.PyDataset):
    """All images in their order, as they are; the last batch may be smaller."""

    def __init__(self, arrays: Arrays, batch_size: int) -> None:
        super().__init__()
        self._arrays, self._batch_size = arrays, batch_size

    @property
    def num_batches(self) -> int:
        return -(-len(self._arrays) // self._batch_size)

    def __getitem__(self, step: int) -> Batch:
        start = step * self._batch_size
        return (_pick(self._arrays, np.arange(start, min(start + self._batch_size, len(self._arrays)))),)


def _balanced(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """As many indices as images, each class equally often to within one, and each image of a class, too."""
    classes = np.unique(labels)
    shares = np.array_split(rng.permutation(len(labels)), len(classes))
    order = np.empty(len(labels), int)
    for label, places in zip(classes, shares, strict=True):
        members = np.flatnonzero(labels == label)
        rounds = [rng.permutation(members) for _ in range(-(-len(places) // len(members)))]
        order[places] = np.concatenate(rounds)[: len(places)]
    return order


def _pick(arrays: Arrays, indices: np.ndarray) -> dict[str, np.ndarray]:
    return {"image": arrays.images[indices], "mask": arrays.masks[indices], "label": arrays.labels[indices]}
