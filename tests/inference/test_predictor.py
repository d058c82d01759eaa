from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from busi_keras.card import Card
from busi_keras.errors import UsageError
from busi_keras.inference.engine import Outputs
from busi_keras.inference.flips import FlipAveraging
from busi_keras.inference.paths import image_files
from busi_keras.inference.predictor import LESION_BUT_NORMAL, TRAINED_ON_PHANTOMS, Predictor

SIZE = 64


class BrightnessEngine:
    """Outlines what is brighter than 128, and says malignant where there is any."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, images: np.ndarray) -> Outputs:
        self.batches.append(len(images))
        bright = (images[..., 0] > 128).astype(np.float32)
        some = bright.any(axis=(1, 2))
        probabilities = np.where(some[:, None], [0.1, 0.7, 0.2], [0.3, 0.1, 0.6]).astype(np.float32)
        return Outputs(bright, probabilities, bright, images.mean(axis=(1, 2, 3)))


def card(data: str = "Dataset_BUSI_with_GT") -> Card:
    return Card("multitask", SIZE, data, {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-23")


def square(height: int, width: int, box: tuple[int, int, int, int] | None) -> np.ndarray:
    image = np.full((height, width, 3), 20, np.uint8)
    if box:
        x0, y0, x1, y1 = box
        image[y0:y1, x0:x1] = 250
    return image


def test_masks_and_boxes_come_back_at_the_images_own_size() -> None:
    image = square(300, 500, (120, 60, 280, 200))
    prediction = Predictor(BrightnessEngine(), card()).predict([image])[0]
    assert prediction.mask.shape == (300, 500)
    assert prediction.mask_probability.dtype == np.float32
    assert prediction.label == "malignant"
    assert len(prediction.lesions) == 1
    np.testing.assert_allclose(prediction.lesions[0].box, (120, 60, 280, 200), atol=6)
    assert prediction.lesions[0].area_px == pytest.approx(160 * 140, rel=0.08)
    assert prediction.warnings == ()
    assert prediction.heat_map is not None
    np.testing.assert_allclose(prediction.heat_map, prediction.mask_probability)


def test_an_image_in_which_nothing_speaks_for_the_class_has_no_heat_map() -> None:
    assert Predictor(BrightnessEngine(), card()).predict([square(30, 50, None)])[0].heat_map is None


def test_images_are_run_in_batches_and_come_back_in_their_order() -> None:
    engine = BrightnessEngine()
    images = [square(40, 60, (5, 5, 30, 30) if i % 3 else None) for i in range(10)]
    predictions = Predictor(engine, card(), batch_size=4).predict(images)
    assert engine.batches == [4, 4, 2]
    assert [p.label for p in predictions] == ["malignant" if i % 3 else "normal" for i in range(10)]


def test_a_stream_takes_no_more_images_than_a_batch_ahead() -> None:
    taken = 0

    def images() -> object:
        nonlocal taken
        for index in range(9):
            taken += 1
            yield index, square(40, 40, None)

    stream = Predictor(BrightnessEngine(), card(), batch_size=3).stream(images())
    next(stream)
    assert taken == 3


def test_mask_and_class_that_disagree_are_said() -> None:
    class AlwaysNormal(BrightnessEngine):
        def run(self, images: np.ndarray) -> Outputs:
            outputs = super().run(images)
            return replace(outputs, probabilities=np.tile(np.float32([0.1, 0.1, 0.8]), (len(images), 1)))

    class NeverFinds(BrightnessEngine):
        def run(self, images: np.ndarray) -> Outputs:
            return replace(super().run(images), mask=np.zeros(images.shape[:3], np.float32))

    image = square(50, 50, (10, 10, 40, 40))
    assert Predictor(AlwaysNormal(), card()).predict([image])[0].warnings == (LESION_BUT_NORMAL,)
    assert Predictor(NeverFinds(), card()).predict([image])[0].warnings == (
        "mask and class disagree: no lesion is outlined, but the class is malignant",
    )


def test_a_heat_map_in_the_padding_alone_is_none() -> None:
    class InThePadding(BrightnessEngine):
        def run(self, images: np.ndarray) -> Outputs:
            heat = np.zeros(images.shape[:3], np.float32)
            heat[:, :8] = 1
            return replace(super().run(images), heatmap=heat)

    wide, tall = Predictor(InThePadding(), card()).predict([square(20, 80, None), square(80, 20, None)])
    assert wide.heat_map is None
    assert tall.heat_map is not None
    assert tall.heat_map.max() > 0.5


def test_an_image_unlike_the_training_images_is_said_to_be() -> None:
    model = replace(card(), novelty_threshold=30.0)
    alike, unlike = Predictor(BrightnessEngine(), model).predict(
        [square(50, 50, None), square(50, 50, (10, 10, 40, 40))]
    )
    assert alike.novelty == pytest.approx(20)
    assert alike.warnings == ()
    assert unlike.warnings == (
        f"unlike the training images (novelty {unlike.novelty:.2f}, threshold 30.00): do not trust this result",
    )
    assert model.is_novel(float("nan"))
    assert not card().is_novel(1e9)


def test_flips_average_an_image_and_its_mirror_image() -> None:
    class LeftHalf:
        """Outlines the left half, whatever it shows, and is the surer the brighter that is."""

        def run(self, images: np.ndarray) -> Outputs:
            half = np.zeros(images.shape[:3], np.float32)
            half[:, :, : SIZE // 2] = 1
            bright = images[:, :, : SIZE // 2].mean(axis=(1, 2, 3)) / 255
            return Outputs(half, np.stack([bright, 1 - bright, 0 * bright], axis=-1), half, bright)

    image = np.zeros((1, SIZE, SIZE, 3), np.float32)
    image[:, :, : SIZE // 2] = 255
    found = FlipAveraging(LeftHalf()).run(image)
    np.testing.assert_array_equal(found.mask, np.full((1, SIZE, SIZE), 0.5, np.float32))
    np.testing.assert_allclose(found.probabilities, [[0.5, 0.5, 0]])
    np.testing.assert_allclose(found.novelty, [0.5])
    np.testing.assert_array_equal(
        found.heatmap[0], LeftHalf().run(image).heatmap[0]
    )  # alone: its mirror image is malignant
    prediction = Predictor(LeftHalf(), card()).with_flips().predict([image[0].astype(np.uint8)])[0]
    np.testing.assert_allclose(prediction.probabilities, [0.5, 0.5, 0])


def test_a_model_trained_on_phantoms_says_so_each_time() -> None:
    predictions = Predictor(BrightnessEngine(), card("phantom")).predict([square(50, 50, None)] * 2)
    assert all(TRAINED_ON_PHANTOMS in prediction.warnings for prediction in predictions)


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no model\.keras; finish its training with --resume"):
        Predictor.load(tmp_path)
    with pytest.raises(UsageError, match=r"nothing\.keras does not exist; train a model first"):
        Predictor.load(tmp_path / "nothing.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(UsageError, match=r"text\.keras is damaged or not a busi_keras \.keras file"):
        Predictor.load(tmp_path / "text.keras")


def test_a_folder_means_its_images_without_masks_in_natural_order(tmp_path: Path) -> None:
    for name in ("b (10).png", "b (2).png", "b (2)_mask.png", "b (2)_mask_1.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    assert [path.name for path in image_files([tmp_path])] == ["b (2).png", "b (10).png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty holds no image"):
        image_files([tmp_path / "empty"])
