"""TF Serving's gRPC interface: tensors as bytes, a fraction of what REST sends."""

from typing import Any

from busi_keras.errors import UsageError
from busi_keras.inference.engines.server import (
    TIMEOUT_S,
    Address,
    Tensors,
    UnavailableError,
    nonsense,
    refused,
    timed_out,
)

_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class GrpcClient:
    """Speaks `tensorflow.serving.PredictionService`, unencrypted.

    Args:
        address: its scheme is grpc.
        timeout_s: how long a call may take.

    Raises:
        UsageError: gRPC, TF Serving's messages or TensorFlow are not installed.
    """

    def __init__(self, address: Address, timeout_s: float = TIMEOUT_S) -> None:
        try:
            import grpc
            import tensorflow as tf
            from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
        except ImportError as error:
            raise UsageError(
                f"--server {address.url} needs {error.name}, which is not installed; "
                "pip install -r requirements-serving.txt, or give the http:// address"
            ) from None
        self._address, self._timeout_s = address, timeout_s
        self._grpc, self._tf, self._new_request = grpc, tf, predict_pb2.PredictRequest
        channel = grpc.insecure_channel(address.host, _ANY_SIZE)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def call(self, signature: str, inputs: Tensors, wanted: tuple[str, ...]) -> Tensors:
        """As `server.Client` has it."""
        outputs = dict(self._predict(self._request(signature, inputs, wanted)).outputs)  # a map makes what it lacks
        try:
            return {name: self._tf.make_ndarray(outputs[name]) for name in wanted}
        except (KeyError, TypeError, ValueError):
            raise nonsense(self._address, f"outputs are {', '.join(outputs) or 'missing'}") from None

    def _request(self, signature: str, inputs: Tensors, wanted: tuple[str, ...]) -> Any:
        request = self._new_request()
        request.model_spec.name, request.model_spec.signature_name = self._address.model, signature
        if self._address.version is not None:
            request.model_spec.version.value = self._address.version
        for name, tensor in inputs.items():
            request.inputs[name].CopyFrom(self._tf.make_tensor_proto(tensor))
        request.output_filter.extend(wanted)
        return request

    def _predict(self, request: Any) -> Any:
        status = self._grpc.StatusCode
        try:
            return self._service.Predict(request, timeout=self._timeout_s)
        except self._grpc.RpcError as error:
            reason = " ".join(str(error.details()).split())[:200]
            if error.code() in (status.UNAVAILABLE, status.RESOURCE_EXHAUSTED):
                raise UnavailableError(reason) from None
            if error.code() == status.DEADLINE_EXCEEDED:
                raise timed_out(self._address, self._timeout_s) from None
            of_model = error.code() in (status.NOT_FOUND, status.INVALID_ARGUMENT)
            raise refused(self._address, f"{error.code().name}: {reason}", of_model) from None
