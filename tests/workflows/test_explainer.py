"""What is measured of a heat map, for a class and for the lesion."""

from pathlib import Path

import keras
import numpy as np
import pytest

from busi_keras.card import Card
from busi_keras.evaluation.faithfulness import Faithfulness
from busi_keras.inference.engines.keras import KerasEngine
from busi_keras.inference.predictor import Predictor
from busi_keras.models import build_multitask
from busi_keras.workflows.explainer import Explainer
from busi_keras.workflows.gradcam import Explained
from tests.tiny import TINY

SIZE = 64


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """Of a network that outlines nearly everything and finds no image normal."""
    keras.utils.set_random_seed(1)
    network = build_multitask(SIZE, TINY, skips=True)
    network.get_layer("label_head").get_layer("logits").bias.assign([0.0, 0.5, -20.0])
    network.get_layer("mask_head").get_layer("logits").bias.assign([2.0])
    counts: dict[str, dict[str, int]] = {}
    card = Card("multitask-cnn", SIZE, "BUSI", counts, "grouped", "none", TINY, {}, "test", {}, {}, "2026-11-25")
    return Predictor(KerasEngine(network), card)


def test_a_lesions_map_is_measured_without_a_true_mask_too(predictor: Predictor) -> None:
    image = np.random.default_rng(0).integers(0, 255, (70, 50, 3), dtype=np.uint8)
    prediction = predictor.predict([image])[0]
    explainer = Explainer(predictor, "lesion", "hirescam")
    heat_map = np.linspace(0, 1, image[..., 0].size, dtype=np.float32).reshape(image.shape[:2])
    found = explainer.faithfulness(image, prediction, heat_map, None)
    assert found.localization is None
    assert found.perturbation is not None
    assert 0.5 < found.perturbation.deletion <= 1
    assert 0.5 < found.perturbation.insertion <= 1

    true_mask = np.zeros(image.shape[:2], bool)
    true_mask[40:] = True
    located = explainer.faithfulness(image, prediction, heat_map, true_mask).localization
    assert located is not None
    assert located.energy_inside > located.chance == pytest.approx(30 / 70)
    assert explainer.faithfulness(image, prediction, None, true_mask) == Faithfulness()


def test_a_flat_map_is_said_in_words_and_in_json() -> None:
    said = ("normal", (0.1, 0.2, 0.7), (), ("not like the training images",))
    one = Explained(Path("a.png"), Path("a_gradcam.png"), *said, "benign", True, Faithfulness())
    assert one.summary() == (
        "a_gradcam.png: normal, no heat map: no region of the image supports benign\n"
        "  warning: not like the training images"
    )
    assert one.to_json() == {
        "path": "a.png", "figure": "a_gradcam.png", "label": "normal",
        "probabilities": {"benign": 0.1, "malignant": 0.2, "normal": 0.7}, "lesions": [], "target": "benign",
        "flat": True, "faithfulness": Faithfulness().to_json(), "warnings": ["not like the training images"],
    }  # fmt: skip
