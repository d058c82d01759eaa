"""A state dict that PyTorch wrote before its version 1.6, read without PyTorch.

Such a file holds five pickles: a magic number, a version, the machine, the dict, in which calls stand for tensors and
keys for their numbers, and a list of these keys; then, of each key, how many numbers (int64) and the numbers.
"""

import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors, by name.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with path.open("rb") as stream:
            return _read(stream)
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} holds no state dict of PyTorch before 1.6 ({error})") from error


class _Tensor(NamedTuple):
    """The arguments of PyTorch's `_rebuild_tensor_v2`; offset and strides are counted in numbers."""

    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_gradient: bool
    hooks: Any

    def of(self, numbers: np.ndarray) -> np.ndarray:
        steps = [stride * numbers.itemsize for stride in self.strides]
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if math.prod(self.shape) and not 0 <= self.offset <= last < len(numbers):
            raise ValueError("a tensor lies outside of its numbers")
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps).copy()


class _Unpickler(pickle.Unpickler):
    """Makes nothing but dicts of tensors: a pickle could ask for any code."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.dtypes: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, storage: tuple[Any, ...]) -> str:
        _, dtype, key, *_ = storage
        self.dtypes[key] = dtype
        return str(key)


def _read(stream: BinaryIO) -> dict[str, np.ndarray]:
    if _Unpickler(stream).load() != MAGIC:
        raise ValueError("its magic number is another")
    for _ in ("version", "machine"):
        _Unpickler(stream).load()
    reader = _Unpickler(stream)
    tensors: dict[str, _Tensor] = reader.load()
    numbers = {}
    for key in _Unpickler(stream).load():
        (count,) = np.frombuffer(stream.read(8), "<i8")
        dtype = reader.dtypes[key]
        numbers[key] = np.frombuffer(stream.read(int(count) * dtype.itemsize), dtype, int(count))
    return {name: tensor.of(numbers[tensor.key]) for name, tensor in tensors.items()}
