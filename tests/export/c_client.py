"""Runs a SavedModel through TensorFlow's C API alone: no Python of TensorFlow is imported.

    python c_client.py LIBRARIES SAVED_MODEL REQUEST.json

REQUEST: [{"inputs": [[tensor, file], ...], "outputs": [[tensor, file], ...]}, ...], a document a call. A `.npy` file
holds float32; any other is one string, the only row of its tensor. The error of a call that fails is printed.
"""

import ctypes
import json
import sys
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

FLOAT, STRING, STRING_SIZE = 1, 7, 24


class Output(ctypes.Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


def functions(libraries: Path) -> tuple[ctypes.CDLL, ctypes.CDLL]:
    framework = ctypes.CDLL(str(libraries / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
    runtime = ctypes.CDLL(str(libraries / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
    for library, name, result in (
        (framework, "TF_AllocateTensor", c_void_p),
        (framework, "TF_TensorData", c_void_p),
        (framework, "TF_Dim", c_int64),
        (runtime, "TF_StringGetDataPointer", c_void_p),
        (runtime, "TF_StringGetSize", c_size_t),
        (framework, "TF_NewStatus", c_void_p),
        (framework, "TF_Message", c_char_p),
        (runtime, "TF_NewGraph", c_void_p),
        (runtime, "TF_NewSessionOptions", c_void_p),
        (runtime, "TF_LoadSessionFromSavedModel", c_void_p),
        (runtime, "TF_GraphOperationByName", c_void_p),
    ):
        getattr(library, name).restype = result
    return framework, runtime


class CClient:
    def __init__(self, libraries: Path, saved_model: Path) -> None:
        self.framework, self.runtime = functions(libraries)
        self.status = c_void_p(self.framework.TF_NewStatus())
        self.graph = c_void_p(self.runtime.TF_NewGraph())
        options = c_void_p(self.runtime.TF_NewSessionOptions())
        tags = (c_char_p * 1)(b"serve")
        session = self.runtime.TF_LoadSessionFromSavedModel(
            options, None, str(saved_model).encode(), tags, 1, self.graph, None, self.status
        )
        self.check()
        self.session = c_void_p(session)

    def check(self) -> None:
        if self.framework.TF_GetCode(self.status):
            raise RuntimeError(self.framework.TF_Message(self.status).decode())

    def place(self, name: str) -> Output:
        operation, _, index = name.partition(":")
        found = self.runtime.TF_GraphOperationByName(self.graph, operation.encode())
        return Output(found, int(index or 0))

    def tensor(self, kind: int, shape: tuple[int, ...], size: int) -> tuple[c_void_p, c_void_p]:
        dims = (c_int64 * len(shape))(*shape)
        tensor = c_void_p(self.framework.TF_AllocateTensor(kind, dims, len(shape), c_size_t(size)))
        return tensor, c_void_p(self.framework.TF_TensorData(tensor))

    def encode(self, path: Path) -> c_void_p:
        if path.suffix == ".npy":
            values = np.ascontiguousarray(np.load(path), np.float32)
            tensor, data = self.tensor(FLOAT, values.shape, values.nbytes)
            ctypes.memmove(data, values.ctypes.data, values.nbytes)
            return tensor
        content = path.read_bytes()
        tensor, data = self.tensor(STRING, (1,), STRING_SIZE)
        self.runtime.TF_StringInit(data)
        self.runtime.TF_StringCopy(data, content, c_size_t(len(content)))
        return tensor

    def decode(self, tensor: c_void_p, path: Path) -> None:
        data = c_void_p(self.framework.TF_TensorData(tensor))
        if self.framework.TF_TensorType(tensor) == STRING:
            size = self.runtime.TF_StringGetSize(data)
            path.write_bytes(ctypes.string_at(self.runtime.TF_StringGetDataPointer(data), size))
            return
        shape = [self.framework.TF_Dim(tensor, axis) for axis in range(self.framework.TF_NumDims(tensor))]
        values = np.empty(shape, np.float32)
        ctypes.memmove(values.ctypes.data, data, values.nbytes)
        np.save(path, values)

    def run(self, inputs: dict[str, Path], outputs: dict[str, Path]) -> None:
        fed = (Output * len(inputs))(*map(self.place, inputs))
        values = (c_void_p * len(inputs))(*(self.encode(path).value for path in inputs.values()))
        fetched = (Output * len(outputs))(*map(self.place, outputs))
        answers = (c_void_p * len(outputs))()
        self.runtime.TF_SessionRun(
            self.session, None, ctypes.cast(fed, POINTER(Output)), values, len(inputs),
            ctypes.cast(fetched, POINTER(Output)), answers, len(outputs), None, 0, None, self.status,
        )  # fmt: skip
        self.check()
        for answer, path in zip(answers, outputs.values(), strict=True):
            self.decode(c_void_p(answer), path)


if __name__ == "__main__":
    libraries, saved_model, request = map(Path, sys.argv[1:])
    client = CClient(libraries, saved_model)
    for call in json.loads(request.read_text()):
        named = {side: {name: Path(file) for name, file in call[side]} for side in ("inputs", "outputs")}
        try:
            client.run(named["inputs"], named["outputs"])
        except RuntimeError as error:
            print(error)
    assert "tensorflow" not in sys.modules
