import keras
import numpy as np
import pytest

from busi_keras.config import Experiment
from busi_keras.models import build_unet
from busi_keras.training.objective import Objective
from busi_keras.training.optimizer import FineTuning
from busi_keras.training.trainer import Stage, _start_phase

pytestmark = pytest.mark.backends


def test_pretrained_weights_move_more_slowly() -> None:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="old"), keras.layers.Dense(2)])
    old = network.get_layer("old")
    before = [np.array(values) for values in network.get_weights()]
    optimizer = FineTuning([old.trainable_variables], 0.25, learning_rate=0.1, weight_decay=0.0)
    network.compile(optimizer, "mse")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    network.train_on_batch(x, np.ones((8, 2), np.float32))
    moved = [np.abs(after - values).max() for after, values in zip(network.get_weights(), before, strict=True)]
    np.testing.assert_allclose(moved, [0.025, 0.025, 0.1, 0.1], rtol=0.01)  # Adam's first step is its learning rate


def test_groups_of_pretrained_weights_are_freed_from_the_last_to_the_first() -> None:
    network = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(3, name=name) for name in "abc")])
    groups = [network.get_layer(name).trainable_variables for name in "ab"]
    network.compile(FineTuning(groups, 0.5, pause=2, learning_rate=0.1, weight_decay=0.0), "mse")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    moved = []
    for _ in range(4):
        before = [network.get_layer(name).get_weights()[1] for name in "abc"]
        network.train_on_batch(x, np.ones((8, 3), np.float32))
        after = [network.get_layer(name).get_weights()[1] for name in "abc"]
        moved.append([bool(np.abs(new - old).max() > 0.01) for new, old in zip(after, before, strict=True)])
    assert moved == [[False, True, True], [False, True, True], [True, True, True], [True, True, True]]


def test_averaged_weights_stand_in_for_the_trained_ones_and_give_way_again() -> None:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = FineTuning([], 1.0, average=0.8, learning_rate=0.1, weight_decay=0.0)
    network.compile(optimizer, "mse")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    expected = None
    for _ in range(3):
        network.fit(x, np.ones((8, 1), np.float32), batch_size=8, verbose=0)
        weights = [np.array(values) for values in network.get_weights()]
        expected = expected or weights
        expected = [0.8 * mean + 0.2 * values for mean, values in zip(expected, weights, strict=True)]
    with optimizer.averaged():
        for found, mean in zip(network.get_weights(), expected, strict=True):
            np.testing.assert_allclose(found, mean, atol=1e-6)
        network.evaluate(x, np.ones((8, 1), np.float32), verbose=0)  # on JAX it takes the weights' arrays for its own
    for average, mean in zip(optimizer._model_variables_moving_average, expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(average), mean, atol=1e-6)
    for found, values in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, values)
    assert all((np.abs(mean - values) > 0.01).any() for mean, values in zip(expected, weights, strict=True))


@pytest.mark.parametrize(("pretrained", "slower"), [(False, {1.0}), (True, {0.3, 1.0})])
def test_an_encoder_without_pretrained_weights_learns_as_fast_as_the_rest(pretrained: bool, slower: set[float]) -> None:
    experiment = Experiment("two-stage", "phantom", encoder_rate=0.3, weights="imagenet")
    unet = build_unet(32, width=2)
    objective = Objective(unet, "dice-bce", 1.0, 1.0, 0.0, (1.0, 1.0, 1.0))
    _start_phase(objective, Stage("segmenter", unet, pretrained), experiment, frozen=False, steps=4)
    assert {rate for rate, _ in objective.optimizer._pace} == slower
