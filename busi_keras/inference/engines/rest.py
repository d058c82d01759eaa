"""TF Serving's REST interface, with the standard library alone.

https://www.tensorflow.org/tfx/serving/api_rest; requests and answers are in its column format.
"""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import numpy as np

from busi_keras.inference.engines.server import (
    TIMEOUT_S,
    Address,
    Tensors,
    UnavailableError,
    nonsense,
    refused,
    timed_out,
)

_BUSY = (429, 503)
_GATEWAY_TIMEOUT = 504
_ABOUT_THE_MODEL = (400, 404)
"""There is no such model, or it has no such signature."""
_SHOWN = 200
_DECIMALS = 2
"""Of a pixel's value, 0-255: five digits instead of seventeen make a request a third as long."""


class RestClient:
    """Speaks JSON over HTTP, through the proxies of the environment.

    Args:
        address: its scheme is http or https.
        timeout_s: how long the server may stay silent.
    """

    def __init__(self, address: Address, timeout_s: float = TIMEOUT_S) -> None:
        self._address, self._timeout_s = address, timeout_s
        version = "" if address.version is None else f"/versions/{address.version}"
        model = f"{address.prefix}/v1/models/{urllib.parse.quote(address.model)}{version}"
        self._url = f"{address.scheme}://{address.host}{model}:predict"

    def call(self, signature: str, inputs: Tensors, wanted: tuple[str, ...]) -> Tensors:
        """As `server.Client` has it."""
        values = {name: _jsonable(tensor) for name, tensor in inputs.items()}
        answer = self._post(json.dumps({"signature_name": signature, "inputs": values}).encode())
        try:
            outputs = json.loads(answer)["outputs"]
            if not isinstance(outputs, dict):  # a signature's only output comes without its name
                outputs = {wanted[0]: outputs}
            return {name: _tensor(outputs[name]) for name in wanted}
        except (ValueError, KeyError, TypeError):
            raise nonsense(self._address, f"it says {_excerpt(answer)}") from None

    def _post(self, body: bytes) -> bytes:
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            if error.code == _GATEWAY_TIMEOUT:  # TF Serving's own limit is up
                raise timed_out(self._address, self._timeout_s) from None
            reason = f"{error.code}: {_reason(error)}"
            if error.code in _BUSY:
                raise UnavailableError(reason) from None
            raise refused(self._address, reason, of_model=error.code in _ABOUT_THE_MODEL) from None
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, TimeoutError):
                raise timed_out(self._address, self._timeout_s) from None
            raise UnavailableError(str(cause) or type(cause).__name__) from None


def _jsonable(tensor: np.ndarray) -> list[Any]:
    if tensor.dtype == object:
        return [{"b64": base64.b64encode(content).decode()} for content in tensor]
    return np.round(tensor.astype(np.float64), _DECIMALS).tolist()


def _tensor(values: Any) -> np.ndarray:
    if values and isinstance(values[0], dict):
        return np.array([base64.b64decode(value["b64"]) for value in values], object)
    array = np.array(values)
    if array.dtype.kind == "U":
        return np.array([text.encode() for text in array.ravel()], object)
    return array.astype(np.float32)


def _reason(error: urllib.error.HTTPError) -> str:
    """What the server says of a failure: TF Serving's `{"error": ...}`, or whatever it sends."""
    try:
        body = error.read()
    except (OSError, http.client.HTTPException):  # it stalls, or breaks off
        return str(error.reason)
    try:
        return str(json.loads(body)["error"]).splitlines()[0][:_SHOWN]
    except (ValueError, KeyError, TypeError, IndexError):
        return _excerpt(body) if body else str(error.reason)


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())
    return repr(text[:_SHOWN]) if text else "nothing"
