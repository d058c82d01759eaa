"""One file that an engine runs without Keras and TensorFlow: ONNX, OpenVINO or LiteRT, in float32 or int8.

`python -m busi_keras.export.engine_file MODEL.keras FILE FORMAT` writes one, under the TensorFlow backend.
"""

import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from busi_keras.card import read_card
from busi_keras.errors import UsageError
from busi_keras.export.process import run_under_tensorflow


@dataclass(frozen=True)
class EngineFile:
    """One format.

    Attributes:
        ending: of the file that it is written to by default, after the network's name.
        suffix: that the file must have.
        writer: the module with `write(function, card, target)`.
        packages: that the writer needs.
        weight_bits: of convolutions that compute in 8-bit integers; None where all is float32.
    """

    ending: str
    suffix: str
    writer: str
    packages: tuple[str, ...]
    weight_bits: int | None = None


ENGINE_FILES = {
    "onnx": EngineFile(".onnx", ".onnx", "busi_keras.export.onnx", ("onnx", "tf2onnx")),
    "openvino": EngineFile(".xml", ".xml", "busi_keras.export.openvino", ("openvino",)),
    "openvino-int8": EngineFile("_int8.xml", ".xml", "busi_keras.export.openvino", ("openvino", "nncf"), 8),
    "openvino-int8-avx2": EngineFile("_int8_avx2.xml", ".xml", "busi_keras.export.openvino", ("openvino", "nncf"), 7),
    "litert": EngineFile(".tflite", ".tflite", "busi_keras.export.litert", ()),
}


def export_engine_file(model_file: Path, export_format: str, target: Path, images: Iterable[np.ndarray] = ()) -> Path:
    """Writes a network as one of `ENGINE_FILES`: input `image`, outputs `probabilities`, `mask`, `heatmap`, `novelty`.

    Args:
        model_file: a `.keras` file with its card.
        target: the file to write; there must be none yet.
        images: of int8, training images to take the ranges from: float32 `(1, S, S, 3)`, letterboxed, 0-255.

    Returns:
        `target`.

    Raises:
        UsageError: a package is not installed, the target exists or has another suffix, or the model is no network of
            this project.
    """
    chosen = ENGINE_FILES[export_format]
    card = read_card(model_file)
    if target.suffix.lower() != chosen.suffix:
        raise UsageError(f"--output is {target}; with --format {export_format} it must end with {chosen.suffix}")
    for file in (target, target.with_suffix(".bin")) if chosen.suffix == ".xml" else (target,):
        if file.exists():
            raise UsageError(f"{file} exists already; remove it first, or name another file with --output")
    missing = [name for name in chosen.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--format {export_format} needs {' and '.join(missing)}, not installed here; "
            "pip install -r requirements-engines.txt"
        )
    module = "busi_keras.export.engine_file"
    if chosen.weight_bits is None:
        run_under_tensorflow(module, model_file, target, export_format)
        return target

    from busi_keras.export.int8 import quantize

    with tempfile.TemporaryDirectory() as temporary:
        float_model = Path(temporary) / "float32.xml"
        run_under_tensorflow(module, model_file, float_model, export_format)
        quantize(float_model, images, card, target, chosen.weight_bits)
    return target


def write_engine_file(model_file: Path, target: Path, export_format: str) -> None:
    """Converts to float32 and writes; for int8, what is then quantized. Runs under the TensorFlow backend."""
    from busi_keras.export.graph import served_function

    chosen = ENGINE_FILES[export_format]
    function = served_function(
        model_file, fuse=chosen.weight_bits is None
    )  # of what is fused, quantization would see parts
    importlib.import_module(chosen.writer).write(function, read_card(model_file), target)


if __name__ == "__main__":
    try:
        write_engine_file(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except (UsageError, ImportError) as error:
        sys.exit(str(error))
