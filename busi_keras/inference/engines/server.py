"""Runs a network that TF Serving serves, over REST or gRPC.

The client sends letterboxed `pixels`, as every engine gets them, and not the image's bytes: so reading, letterboxing
and what becomes of masks and heat maps is the code that all predictions go through, whatever the format (TIFF too),
the mask's probabilities are kept, and a server may gather the images of several clients. The price is size:
over REST an image of 224 px is 1 to 2 MB each way, numbers in JSON, and costs the client a quarter of a second; over
gRPC it is 0.6 MB, with nothing to parse.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import numpy as np

from busi_keras.card import Card
from busi_keras.config import CLASSES
from busi_keras.errors import UnreachableError, UsageError
from busi_keras.inference.engine import Outputs

DEFAULT_MODEL = "multitask"
TIMEOUT_S = 60.0
WAITS_S = (0.5, 1.0, 2.0)
"""Before each further try where the server cannot be reached or is too busy."""

ROUNDING = 1e-5

SCHEMES = ("http", "https", "grpc")
_PATH = re.compile(r"(?P<prefix>.*?)(/v1/models/(?P<model>[^/:]+)(/versions/(?P<version>\d+))?)?/?")


Tensors = dict[str, np.ndarray]


class UnavailableError(Exception):
    """The server cannot be reached, or says that it is too busy: another try may do."""


@dataclass(frozen=True)
class Address:
    """Where a model is served.

    Attributes:
        url: as the user gave it.
        scheme: one of `SCHEMES`.
        host: host and port.
        prefix: path in front of `/v1/models`, where a gateway adds one.
        model: name of the served model.
        version: None for the newest.
    """

    url: str
    scheme: str
    host: str
    prefix: str
    model: str
    version: int | None

    @classmethod
    def parse(cls, url: str) -> "Address":
        """The address in `http://HOST:PORT`, `https://...` or `grpc://HOST:PORT`, each with or without a path.

        The path is TF Serving's, `/v1/models/NAME` or `/v1/models/NAME/versions/N`; without it `DEFAULT_MODEL` is
        meant.

        Raises:
            UsageError: it is no such address.
        """
        wrong = UsageError(
            f"--server is {url}; it must be http://HOST:8501 or grpc://HOST:8500, where needed with /v1/models/NAME"
        )
        try:
            parts = urlsplit(url)
            port = parts.port  # raises where it is no number
        except ValueError:
            raise wrong from None
        path = _PATH.fullmatch(parts.path)
        if parts.scheme not in SCHEMES or not parts.hostname or path is None or parts.query or parts.fragment:
            raise wrong
        if "/v1/models" in path["prefix"]:  # NAME:predict, as of a request
            raise wrong
        if parts.scheme == "grpc" and port is None:
            raise wrong
        version = None if path["version"] is None else int(path["version"])
        return cls(url, parts.scheme, parts.netloc, path["prefix"], path["model"] or DEFAULT_MODEL, version)


class Client(Protocol):
    """One way of talking to TF Serving."""

    def call(self, signature: str, inputs: Tensors, wanted: tuple[str, ...]) -> Tensors:
        """What a signature answers.

        Args:
            inputs: float32, or bytes in dtype object.
            wanted: names of outputs.

        Returns:
            The outputs by name, float32, or bytes in dtype object.

        Raises:
            UnavailableError: the server cannot be reached, or is too busy.
            UsageError: it refuses, or answers what cannot be understood.
        """


class ServerEngine:
    """A served network.

    Args:
        address: names the server in messages.
        client: talks to it.
        wait: called with seconds before another try.
    """

    def __init__(self, address: Address, client: Client, wait: Callable[[float], None] = time.sleep) -> None:
        self._address, self._client, self._wait = address, client, wait

    @classmethod
    def connect(cls, url: str) -> "ServerEngine":
        """The engine for a server's address; nothing is sent yet.

        Raises:
            UsageError: it is no address, or gRPC is not installed.
        """
        address = Address.parse(url)
        if address.scheme == "grpc":
            from busi_keras.inference.engines.grpc import GrpcClient

            return cls(address, GrpcClient(address))
        from busi_keras.inference.engines.rest import RestClient

        return cls(address, RestClient(address))

    def card(self) -> Card:
        """What the served network says of itself.

        Raises:
            UsageError: no server answers, or it serves another kind of model.
        """
        answer = self._call("card", {"request": np.array([b""], object)}, ("card",))
        try:
            return Card.from_json(answer["card"].item().decode())
        except (TypeError, ValueError, AttributeError, KeyError):
            raise nonsense(self._address, "its card is not a busi_keras card") from None

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs for float32 `(batch, S, S, 3)`, letterboxed, 0-255.

        Raises:
            UsageError: no server answers, it refuses, or what it answers is no prediction.
        """
        expected = {
            "probabilities": (len(images), len(CLASSES)),
            "mask": images.shape[:3],
            "heatmap": images.shape[:3],
            "novelty": images.shape[:1],
        }
        answer = self._call("pixels", {"image": images}, tuple(expected))
        for name, shape in expected.items():
            values = answer[name]
            if values.dtype != np.float32 or values.shape != shape:
                found = f"{name} is {values.dtype} of shape {values.shape}, not float32 of shape {shape}"
                raise nonsense(self._address, found)
            largest = np.finfo(np.float32).max if name == "novelty" else 1 + ROUNDING
            if not ((values >= 0) & (values <= largest)).all():  # also where it is not a number
                raise nonsense(
                    self._address, f"{name} is not {'a distance' if name == 'novelty' else 'within 0 and 1'}"
                )
        return Outputs(**answer)

    def _call(self, signature: str, inputs: Tensors, wanted: tuple[str, ...]) -> Tensors:
        waits_s = iter(WAITS_S)
        while True:
            try:
                return self._client.call(signature, inputs, wanted)
            except UnavailableError as error:
                wait_s = next(waits_s, None)
                if wait_s is None:
                    where = f"no server answers at {self._address.url} ({error})"
                    raise UnreachableError(f"{where}; start one, or check --server") from None
            self._wait(wait_s)


def nonsense(address: Address, why: str) -> UsageError:
    """The error where a server answers what no model of this project would."""
    return UsageError(f"{address.url} answers, but not as a model of busi_keras does ({why}); check --server")


def refused(address: Address, reason: str, of_model: bool) -> UsageError:
    """The error where a server refuses a request, with the server's reason.

    Args:
        of_model: whether the reason is which model was named.
    """
    if not of_model:
        return UsageError(f"{address.url} refuses the request ({reason}); the server's own log may say more")
    example = f"{address.scheme}://{address.host}{address.prefix}/v1/models/NAME"
    return UsageError(f"{address.url} refuses the model {address.model} ({reason}); name the right one: {example}")


def timed_out(address: Address, timeout_s: float) -> UnreachableError:
    """The error where a server takes a request and stays silent; asking again would only add to its work."""
    return UnreachableError(
        f"{address.url} does not answer within {timeout_s:g} s: it hangs, or is overloaded; try later"
    )
