"""What is watched while training: overlap of each image's mask at threshold 0.5, on the square input.

The scores that are reported come from `evaluation.scores`, at each image's own size.
"""

from keras import ops

from busi_keras.models.sampling import Tensor


def image_dice(masks: Tensor, logits: Tensor) -> Tensor:
    """Dice of each image, `(batch, S, S, 1)` -> `(batch,)`; 1 where both masks are empty."""
    overlap, total = _overlap_and_total(masks, logits)
    return ops.where(total > 0, 2 * overlap / ops.maximum(total, 1.0), 1.0)


def image_iou(masks: Tensor, logits: Tensor) -> Tensor:
    """Intersection over union of each image, as `image_dice`."""
    overlap, total = _overlap_and_total(masks, logits)
    return ops.where(total > 0, overlap / ops.maximum(total - overlap, 1.0), 1.0)


def correct(labels: Tensor, logits: Tensor) -> Tensor:
    """1 where the class of the largest logit is the image's own, else 0: `(batch,)`."""
    return ops.cast(ops.equal(ops.cast(labels, "int32"), ops.cast(ops.argmax(logits, axis=-1), "int32")), "float32")


def _overlap_and_total(masks: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    predicted = ops.cast(logits > 0, "float32")
    overlap = ops.sum(masks * predicted, axis=(1, 2, 3))
    return overlap, ops.sum(masks, axis=(1, 2, 3)) + ops.sum(predicted, axis=(1, 2, 3))
