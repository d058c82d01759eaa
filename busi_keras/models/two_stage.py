"""Two stages in one model: segment, crop what was found, classify the crop."""

import keras
from keras import layers, ops

from busi_keras.models.presence import PresenceBound
from busi_keras.models.sampling import Tensor, affine_coordinates, pixel_grid, sample_bilinear

MARGIN = 0.25
"""Of the lesion's longer side, added on each side: the tissue around a lesion tells malignant from benign."""

SMALLEST_CROP = 0.25
"""Of the image's side: a few stray pixels are not blown up to a whole picture."""


def crop_squares(boxes: Tensor, size: int) -> Tensor:
    """The square crop for each box: with a margin, not too small, inside the image where it fits.

    Args:
        boxes: float32 `(batch, 4)`: y0, x0, y1, x1 in pixels, the end exclusive.
        size: side of the image.

    Returns:
        float32 `(batch, 3)`: y and x of the upper left corner, and the side, in pixels.
    """
    longer = ops.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    side = ops.clip(longer * (1 + 2 * MARGIN), SMALLEST_CROP * size, float(size))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    corner = ops.maximum(ops.minimum(centre - side[:, None] / 2, float(size) - side[:, None]), 0.0)
    return ops.concatenate([corner, side[:, None]], axis=-1)


def crop_transforms(squares: Tensor, size: int) -> Tensor:
    """The affine map from the pixels of a crop, scaled to the image's size, to those of the image: `(batch, 2, 3)`."""
    scale = squares[:, 2] / size
    shift = squares[:, :2] + (scale[:, None] - 1) / 2
    zero = ops.zeros_like(scale)
    return ops.stack(
        [
            ops.stack([scale, zero, shift[:, 0]], axis=-1),
            ops.stack([zero, scale, shift[:, 1]], axis=-1),
        ],
        axis=1,
    )


def mask_boxes(logits: Tensor) -> Tensor:
    """Bounding boxes of the pixels whose logit is above 0; the whole image where there is none.

    Args:
        logits: `(batch, S, S, 1)`.

    Returns:
        float32 `(batch, 4)`: y0, x0, y1, x1 in pixels, the end exclusive.
    """
    size = logits.shape[1]
    found = ops.expand_dims(logits[..., 0] > 0, axis=-1)
    grid = ops.expand_dims(pixel_grid(size), axis=0)
    low = ops.min(ops.where(found, grid, float(size)), axis=(1, 2))
    high = ops.max(ops.where(found, grid, -1.0), axis=(1, 2)) + 1
    empty = high[:, :1] == 0
    return ops.concatenate([ops.where(empty, 0.0, low), ops.where(empty, float(size), high)], axis=-1)


class LesionSquares(layers.Layer):
    """The squares that `CropLesion` cuts out. Call with mask logits `(batch, S, S, 1)`; gives `crop_squares`."""

    def call(self, logits: Tensor) -> Tensor:
        return crop_squares(mask_boxes(logits), logits.shape[1])

    def compute_output_shape(self, logits_shape: tuple) -> tuple:
        return (logits_shape[0], 3)


@keras.saving.register_keras_serializable(package="busi_keras")
class CropLesion(layers.Layer):
    """The image's square around a predicted lesion, scaled to the image's size; the whole image where none is found.

    Call with `(image (batch, S, S, 3), mask logits (batch, S, S, 1))`; gives `(batch, S, S, 3)`.
    """

    def call(self, image: Tensor, logits: Tensor) -> Tensor:
        size = image.shape[1]
        squares = crop_squares(mask_boxes(logits), size)
        return sample_bilinear(image, affine_coordinates(crop_transforms(squares, size), size))

    def compute_output_shape(self, image_shape: tuple, logits_shape: tuple) -> tuple:
        return image_shape


def build_two_stage(segmenter: keras.Model, classifier: keras.Model) -> keras.Model:
    """A segmenter and a classifier as one model.

    Args:
        segmenter: `image` -> `{"mask": logits}`; from `build_unet`.
        classifier: `image` -> `{"label": logits, "novelty": ...}`; from `build_classifier`.

    Returns:
        `image` float32 `(batch, S, S, 3)`, 0-255 ->
        `{"mask": logits (batch, S, S, 1), "label": logits (batch, 3), "novelty": (batch,)}`; novelty is the crop's.
    """
    image = keras.Input(segmenter.input_shape[1:], name="image")
    mask = segmenter(image)["mask"]
    crop = CropLesion(name="crop", dtype="float32")(image, mask)
    classified = classifier(crop)
    bounded = PresenceBound(name="presence_bound", dtype="float32")(mask, classified["label"])
    return keras.Model(image, {"mask": bounded, **classified}, name="two_stage")
