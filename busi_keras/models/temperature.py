"""The calibration temperature, part of the network: whatever is stored or exported gives calibrated probabilities."""

import keras
from keras import layers

from busi_keras.models.sampling import Tensor


@keras.saving.register_keras_serializable(package="busi_keras")
class Temperature(layers.Layer):
    """Divides logits by one number, fitted after training on images that did not train; 1 until then."""

    def build(self, input_shape: tuple) -> None:
        self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones", trainable=False)

    def call(self, logits: Tensor) -> Tensor:
        return logits / self.temperature


def set_temperature(network: keras.Model, temperature: float) -> None:
    """Sets the temperature of a network with a label head, as `models.build` makes it."""
    classifier = network.get_layer("classifier") if network.name == "two_stage" else network
    classifier.get_layer("label_head").get_layer("calibrated").temperature.assign(temperature)
