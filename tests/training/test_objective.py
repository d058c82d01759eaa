import keras
import numpy as np
import pytest
from keras import layers

from busi_keras.models.heads import build_label_head, build_mask_head, build_novelty_head
from busi_keras.models.multitask import with_heads
from busi_keras.training.objective import Objective

pytestmark = pytest.mark.backends

SIDE, CELL = 32, 8


def small_network() -> keras.Model:
    """A multi-task network of three maps, the last of 4 x 4 cells."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x, pyramid = layers.Rescaling(1 / 255)(image), []
    for channels in (8, 12, 16):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu")(x)
        pyramid.append(x)
    encoder = keras.Model(image, pyramid, name="encoder")
    mask_head = build_mask_head(encoder, lambda maps: [maps[0]])
    return with_heads(encoder, mask_head, build_label_head(encoder), build_novelty_head(encoder))


def squares(count: int = 48) -> dict[str, np.ndarray]:
    """Images with one grey square, dark in class 0 and bright in class 1, anywhere; a third show none."""
    rng = np.random.default_rng(3)
    labels = np.arange(count) % 3
    images = rng.integers(90, 130, (count, SIDE, SIDE, 3), dtype=np.uint8)
    masks = np.zeros((count, SIDE, SIDE, 1), np.uint8)
    for image, mask, label in zip(images, masks, labels, strict=True):
        if label < 2:
            y, x = rng.integers(0, SIDE - CELL, 2)
            image[y : y + CELL, x : x + CELL] = (20, 240)[label]
            mask[y : y + CELL, x : x + CELL] = 1
    return {"image": images, "mask": masks, "label": labels.astype(np.int32)}


def test_a_step_knows_nothing_of_the_gradients_before_it() -> None:
    objective = Objective(small_network(), "dice-bce", 1.0, 1.0, 0.0, (1.0, 1.0, 1.0))
    for layer in objective.network.get_layer("label_head").layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    objective.compile(optimizer=keras.optimizers.SGD(1e-4))
    batch = squares(16)
    before = [keras.ops.convert_to_numpy(one).copy() for one in objective.trainable_variables]
    steps = []
    for _ in range(3):
        objective.train_on_batch(batch)
        after = [keras.ops.convert_to_numpy(one).copy() for one in objective.trainable_variables]
        steps.append([b - a for a, b in zip(before, after, strict=True)])
        before = after
    for first, third in zip(steps[0], steps[2], strict=True):  # hardly a way down the slope: all steps are alike
        np.testing.assert_allclose(np.linalg.norm(third), np.linalg.norm(first), rtol=0.2)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_heat_map_comes_to_lie_on_the_lesion_where_that_is_asked_for(weight: float) -> None:
    objective = Objective(small_network(), "dice-bce", 1.0, 1.0, weight, (1.0, 1.0, 1.0))
    objective.compile(optimizer=keras.optimizers.Adam(0.01))
    history = objective.fit(squares(), batch_size=16, epochs=25, shuffle=False, verbose=0).history
    assert ("heat_map_loss" in history) == (weight > 0)
    if weight:
        first, last = history["heat_map_loss"][0], history["heat_map_loss"][-1]
        assert last < 0.3 * first
        total = history["mask_loss"][-1] + history["label_loss"][-1] + weight * last
        assert history["loss"][-1] == pytest.approx(total, rel=1e-3)
    outputs = objective.network.predict_on_batch(squares()["image"].astype(np.float32))
    assert set(outputs) == {"mask", "label", "novelty"}  # what is stored is the network as ever
