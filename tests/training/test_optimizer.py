import keras
import numpy as np
import pytest

from busi_keras.training.optimizer import FineTuning

pytestmark = pytest.mark.backends


def test_pretrained_weights_move_more_slowly() -> None:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="old"), keras.layers.Dense(2)])
    old = network.get_layer("old")
    before = [np.array(values) for values in network.get_weights()]
    optimizer = FineTuning(old.trainable_variables, 0.25, learning_rate=0.1, weight_decay=0.0)
    network.compile(optimizer, "mse")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    network.train_on_batch(x, np.ones((8, 2), np.float32))
    moved = [np.abs(after - values).max() for after, values in zip(network.get_weights(), before, strict=True)]
    np.testing.assert_allclose(moved, [0.025, 0.025, 0.1, 0.1], rtol=0.01)  # Adam's first step is its learning rate
