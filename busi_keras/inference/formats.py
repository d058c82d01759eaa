"""Which engine runs a stored network: by the file's suffix, or by what a folder holds."""

import re
from pathlib import Path

from busi_keras.card import Card, read_card
from busi_keras.errors import UsageError
from busi_keras.inference.engine import Engine
from busi_keras.run_files import network_file

STANDALONE = (".onnx", ".xml", ".tflite")
"""Suffixes of what runs without Keras and TensorFlow."""
SAVED_MODEL_FILE = "saved_model.pb"


def is_standalone(path: Path | None) -> bool:
    """Whether a model runs without Keras and TensorFlow; None means a run."""
    return path is not None and path.suffix.lower() in STANDALONE


def open_model(path: Path) -> tuple[Engine, Card]:
    """The engine for a stored network, and the network's card.

    Args:
        path: a run folder, a `.keras` file, a SavedModel (a version's folder, or the folder of versions, of which the
            newest is taken), an `.onnx`, an OpenVINO `.xml` or a `.tflite` file.

    Raises:
        UsageError: there is no such file or no network in it, or the library that runs it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        from busi_keras.inference.engines.onnx import OnnxEngine

        return OnnxEngine.load(path)
    if suffix == ".xml":
        from busi_keras.inference.engines.openvino import OpenVinoEngine

        return OpenVinoEngine.load(path)
    if suffix == ".tflite":
        from busi_keras.inference.engines.litert import LiteRtEngine

        return LiteRtEngine.load(path)
    version = _saved_model(path)
    if version is not None:
        from busi_keras.inference.engines.saved_model import SavedModelEngine

        return SavedModelEngine.load(version)

    model_file = network_file(path)
    if path.is_dir() and not model_file.exists():
        raise UsageError(
            f"{path} holds no {model_file.name}; finish its training with --resume, or name another run or model"
        )
    card = read_card(model_file)
    from busi_keras.inference.engines.keras import KerasEngine

    return KerasEngine.load(model_file), card


def _saved_model(folder: Path) -> Path | None:
    """The folder of a SavedModel's version, or of the newest among the versions in it; None where there is none."""
    if (folder / SAVED_MODEL_FILE).exists():
        return folder
    if not folder.is_dir():
        return None
    numbered = [path for path in folder.iterdir() if re.fullmatch(r"\d+", path.name)]
    versions = [path for path in numbered if (path / SAVED_MODEL_FILE).exists()]
    return max(versions, key=lambda path: int(path.name), default=None)
