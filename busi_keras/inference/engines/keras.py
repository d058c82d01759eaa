"""Runs a `.keras` file, or a network in memory, on whichever backend Keras uses."""

from pathlib import Path

import keras
import numpy as np

import busi_keras.models  # noqa: F401  registers the custom layers
from busi_keras.errors import UsageError, first_line
from busi_keras.explain.closed_form import with_heat_map
from busi_keras.files import verify_archive
from busi_keras.inference.engine import Outputs
from busi_keras.models.precision import in_float32


class KerasEngine:
    """A network with the outputs `mask` and `label`, logits both.

    Args:
        network: as `models.build` makes it.
    """

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        self._served = with_heat_map(network)

    @classmethod
    def load(cls, path: Path) -> "KerasEngine":
        """The network in a `.keras` file, in float32; code inside the file is never run (Keras' safe mode).

        Raises:
            UsageError: the file cannot be read as a network.
        """
        try:
            verify_archive(path)
            return cls(in_float32(keras.models.load_model(path, compile=False, safe_mode=True)))
        except Exception as error:  # a damaged file makes h5py, zipfile and Keras raise whatever they meet
            raise UsageError(
                f"{path} cannot be loaded ({first_line(error)}); name a model that `train` made"
            ) from error

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs for float32 `(batch, S, S, 3)`, letterboxed, 0-255."""
        return Outputs(**self._served.predict_on_batch(images))
