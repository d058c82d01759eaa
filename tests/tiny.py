"""A backbone of five convolutions: what lies around a backbone can be tested without compiling a real one.

`python -m tests.tiny train --backbone tiny ...` is `python cli.py train ...` that knows it.
"""

import keras
from keras import layers

from busi_keras.config import CHOICES
from busi_keras.models.backbone import REGISTRY, Backbone, unit
from busi_keras.models.imagenet import InstalledByPip
from busi_keras.models.sampling import Tensor

TINY = "tiny"
CHANNELS = (4, 8, 8, 16, 24)


def tiny_network(pixels: Tensor) -> keras.Model:
    """As a `Backbone` has it."""
    features = pixels
    for level, channels in enumerate(CHANNELS, start=1):
        features = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(features)
        features = layers.BatchNormalization()(features)
        features = layers.ReLU(name=f"level_{level}")(features)
    return keras.Model(keras.utils.get_source_inputs(pixels), features)


def register_tiny() -> None:
    """Makes it known to this process, as a `--backbone`, too."""
    taps = tuple(f"level_{level + 1}" for level in range(len(CHANNELS)))
    REGISTRY[TINY] = Backbone(tiny_network, taps, unit, InstalledByPip("no_such_package"))
    CHOICES["backbone"] = (*CHOICES["backbone"], TINY)


if __name__ == "__main__":
    register_tiny()
    from cli import app

    app()
