"""The client of TF Serving, against servers that speak its contract, and against servers that do not."""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from busi_keras.errors import UsageError
from busi_keras.imaging import encode_png, read_image
from busi_keras.inference.engines import server as server_engine
from busi_keras.inference.engines.grpc import GrpcClient
from busi_keras.inference.engines.rest import RestClient
from busi_keras.inference.engines.server import Address, ServerEngine
from busi_keras.inference.predictor import TRAINED_ON_PHANTOMS, Prediction, Predictor

ROOT = Path(__file__).parents[2]
IMAGES = np.zeros((1, 64, 64, 3), np.float32)
NEEDS = "needs TF Serving: TF_SERVING_URL names a model of ours"
Reply = Callable[[BaseHTTPRequestHandler, dict], None]


@contextmanager
def http_server(reply: Reply) -> Iterator[str]:
    """A server whose POST requests are answered by `reply(handler, document)`; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reply(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


def answer(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def answering(body: bytes, status: int = 200) -> Reply:
    return lambda handler, document: answer(handler, body, status)


def serving(signatures: Mapping[str, Callable], model: str) -> Reply:
    """TF Serving's REST contract, column format, by the SavedModel itself."""
    import tensorflow as tf

    def tensor(values: object, spec: tf.TensorSpec) -> tf.Tensor:
        if spec.dtype == tf.string:
            return tf.constant([base64.b64decode(v["b64"]) if isinstance(v, dict) else v for v in values])
        return tf.constant(values, spec.dtype)

    def jsonable(name: str, values: np.ndarray) -> list:
        if name.endswith("_bytes"):
            return [{"b64": base64.b64encode(value).decode()} for value in values]
        return [value.decode() for value in values] if values.dtype == object else values.tolist()

    def reply(handler: BaseHTTPRequestHandler, document: dict) -> None:
        if handler.path != f"/v1/models/{model}:predict":
            name = handler.path.split("/")[3].split(":")[0]
            return answer(
                handler, json.dumps({"error": f"Servable not found for request: Latest({name})"}).encode(), 404
            )
        signature = signatures[document.get("signature_name", "serving_default")]
        specs = signature.structured_input_signature[1]
        assert set(document["inputs"]) == set(specs)
        try:
            outputs = signature(**{name: tensor(document["inputs"][name], spec) for name, spec in specs.items()})
        except tf.errors.InvalidArgumentError as error:
            failed = error.message[error.message.find("assertion failed") :]  # before it stands what eager mode adds
            return answer(handler, json.dumps({"error": failed}).encode(), 400)
        columns = {name: jsonable(name, values.numpy()) for name, values in outputs.items()}
        only = next(iter(columns.values())) if len(columns) == 1 else columns
        return answer(handler, json.dumps({"outputs": only}).encode())

    return reply


@pytest.fixture(scope="module")
def url(served: Mapping[str, Callable]) -> Iterator[str]:
    with http_server(serving(served, "two-stage")) as address:
        yield f"{address}/v1/models/two-stage"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_engine, "WAITS_S", (0.0, 0.01))


@pytest.fixture(scope="module")
def images(image_files: list[Path]) -> list[np.ndarray]:
    return [read_image(path) for path in image_files]


@pytest.fixture(scope="module")
def expected(stored_network: Path, images: list[np.ndarray]) -> list[Prediction]:
    return Predictor.load(stored_network).predict(images)


def assert_agree(served: list[Prediction], expected: list[Prediction]) -> None:
    assert len(served) == len(expected)
    for one, other in zip(served, expected, strict=True):
        assert one.label == other.label
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1 / 255)
        np.testing.assert_allclose(one.mask_probability, other.mask_probability, atol=1 / 255)
        assert TRAINED_ON_PHANTOMS in one.warnings
        assert one.heat_map is not None
        assert one.heat_map.shape == other.mask.shape


def test_over_rest_predictions_and_warnings_are_those_of_the_stored_network(
    url: str, images: list[np.ndarray], expected: list[Prediction]
) -> None:
    assert_agree(Predictor.connect(url).predict(images), expected)


def test_over_grpc_predictions_and_warnings_are_those_of_the_stored_network(
    served: Mapping[str, Callable], images: list[np.ndarray], expected: list[Prediction]
) -> None:
    grpc = pytest.importorskip("grpc")
    service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    class Service(service.PredictionServiceServicer):
        def Predict(self, request: object, context: object) -> PredictResponse:  # noqa: N802
            if request.model_spec.name != "two-stage":
                context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {request.model_spec.name}")
            inputs = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
            response = PredictResponse()
            for name, tensor in served[request.model_spec.signature_name](**inputs).items():
                if name in request.output_filter:
                    response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor))
            return response

    running = grpc.server(ThreadPoolExecutor(2))
    service.add_PredictionServiceServicer_to_server(Service(), running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        predictor = Predictor.connect(f"grpc://127.0.0.1:{port}/v1/models/two-stage")
        assert_agree(predictor.predict(images), expected)
        with pytest.raises(UsageError, match=r"refuses the model multitask \(NOT_FOUND: Servable not found: multitask"):
            Predictor.connect(f"grpc://127.0.0.1:{port}")
    finally:
        running.stop(None)
    with pytest.raises(UsageError, match=r"no server answers at grpc://127\.0\.0\.1"):
        predictor.predict(images[:1])


def test_over_grpc_faults_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    grpc = pytest.importorskip("grpc")
    service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    asked: list[str] = []
    given_up = threading.Event()

    class Faulty(service.PredictionServiceServicer):
        def Predict(self, request: object, context: object) -> PredictResponse:  # noqa: N802
            asked.append(request.model_spec.name)
            if request.model_spec.name == "slow":
                given_up.wait(60)
            if request.model_spec.name == "busy":
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full")
            return PredictResponse()

    running = grpc.server(ThreadPoolExecutor(2))
    service.add_PredictionServiceServicer_to_server(Faulty(), running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()

    def engine(model: str) -> ServerEngine:
        address = Address.parse(f"grpc://127.0.0.1:{port}/v1/models/{model}")
        return ServerEngine(address, GrpcClient(address, timeout_s=2 if model == "slow" else 20))

    try:
        with pytest.raises(UsageError, match="does not answer within 2 s"):
            engine("slow").run(IMAGES)
        given_up.set()
        with pytest.raises(UsageError, match="queue is full"):
            engine("busy").run(IMAGES)
        with pytest.raises(UsageError, match="outputs are missing"):
            engine("empty").run(IMAGES)
    finally:
        running.stop(None)
    assert (asked.count("slow"), asked.count("busy"), asked.count("empty")) == (1, 3, 1)
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(UsageError, match=r"not installed; pip install -r requirements-serving\.txt, or give the http"):
        engine("busy")


def test_the_command_line_asks_a_server_and_imports_no_keras(url: str, image_files: list[Path], tmp_path: Path) -> None:
    code = "import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None; import cli; cli.app()"
    command = [sys.executable, "-c", code, "predict", image_files[0], "--server", url, "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    prediction = json.loads(done.stdout)["predictions"][0]
    assert prediction["warnings"][0] == TRAINED_ON_PHANTOMS
    assert (tmp_path / prediction["mask"]).exists()


def test_a_server_and_a_model_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "image.png").touch()
    options = ["predict", "image.png", "--server", "http://localhost:8501", "--model", "runs/mine"]
    done = subprocess.run([sys.executable, ROOT / "cli.py", *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--server http://localhost:8501 and --model runs/mine name two models; leave one out" in done.stderr


@pytest.mark.parametrize(
    ("url", "host", "prefix", "model", "version"),
    [
        ("http://localhost:8501", "localhost:8501", "", "multitask", None),
        ("http://localhost:8501/", "localhost:8501", "", "multitask", None),
        ("https://example.org/v1/models/two-stage", "example.org", "", "two-stage", None),
        ("http://h:1/gate/way/v1/models/a/versions/12", "h:1", "/gate/way", "a", 12),
        ("grpc://localhost:8500/v1/models/a", "localhost:8500", "", "a", None),
    ],
)
def test_an_address_names_host_model_and_version(
    url: str, host: str, prefix: str, model: str, version: int | None
) -> None:
    address = Address.parse(url)
    assert (address.host, address.prefix, address.model, address.version) == (host, prefix, model, version)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8501",
        "ftp://h:1",
        "http://",
        "http://h:port",
        "grpc://h",
        "http://h:1?a=b",
        "http://h:1/v1/models/a:predict",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"it must be http://HOST:8501 or grpc://HOST:8500"):
        Address.parse(url)


def outputs(**changed: object) -> bytes:
    document = {
        "probabilities": [[0.2, 0.3, 0.5]],
        "mask": np.zeros((1, 64, 64)).tolist(),
        "heatmap": np.zeros((1, 64, 64)).tolist(),
        "novelty": [1.0],
    }
    return json.dumps({"outputs": {key: value for key, value in (document | changed).items() if value}}).encode()


FAULTS = {
    "no JSON": (answering(b"<html>It works!</html>"), r"answers, but not as .*<html>It works!</html>"),
    "nothing in it": (answering(b""), r"answers, but not as .*nothing"),
    "another document": (answering(b'{"predictions": []}'), "answers, but not as .*predictions"),
    "an output less": (answering(outputs(heatmap=None)), "answers, but not as "),
    "another size": (answering(outputs(mask=[[[0.5]]])), r"mask is float32 of shape \(1, 1, 1\)"),
    "no numbers": (answering(outputs(probabilities=[["a", "b", "c"]])), "probabilities is object"),
    "not a number": (answering(outputs(probabilities=[[float("nan"), 0.5, 0.5]])), "probabilities is not within 0"),
    "logits": (answering(outputs(probabilities=[[-3.0, 1.0, 4.0]])), "probabilities is not within 0 and 1"),
    "no distance": (answering(outputs(novelty=[-1.0])), "novelty is not a distance"),
    "an error": (
        answering(b'{"error": "out of memory"}', 500),
        r"refuses the request \(500: out of memory\); the server's",
    ),
    "another name": (
        answering(b'{"error": "no such servable"}', 404),
        r"the model multitask \(404: .*\); name the right",
    ),
    "too large": (answering(b"", 413), r"refuses the request \(413: "),
    "an error page": (answering(b"Bad gateway", 502), r"refuses the request \(502: 'Bad gateway'\)"),
    "too busy": (answering(b'{"error": "queue is full"}', 429), r"no server answers .*\(429: queue is full\)"),
    "too slow": (answering(b'{"error": "Timed out"}', 504), "does not answer within .* it hangs, or is overloaded"),
    "away": (answering(b"", 503), r"no server answers .*\(503: Service Unavailable\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_server_end_in_a_clear_line(fault: str) -> None:
    reply, message = FAULTS[fault]
    with http_server(reply) as url, pytest.raises(UsageError, match=message) as error:
        ServerEngine.connect(url).run(IMAGES)
    assert url in str(error.value)
    assert "\n" not in str(error.value)


def test_another_model_is_not_taken_for_ours() -> None:
    for body in (b'{"outputs": ["a cat"]}', b'{"outputs": ["{}"]}', b'{"outputs": [3.5]}'):
        with http_server(answering(body)) as url, pytest.raises(UsageError, match="its card is not a busi_keras card"):
            Predictor.connect(url)


def test_a_server_that_closes_without_an_answer_is_asked_again_and_named() -> None:
    asked = []

    def close(handler: BaseHTTPRequestHandler, document: dict) -> None:
        asked.append(document)
        handler.connection.shutdown(socket.SHUT_RDWR)

    with http_server(close) as url, pytest.raises(UsageError, match="no server answers at"):
        ServerEngine.connect(url).run(IMAGES)
    assert len(asked) == 1 + len(server_engine.WAITS_S)


def test_a_server_that_is_busy_for_a_moment_is_waited_for() -> None:
    asked = []

    def busy_once(handler: BaseHTTPRequestHandler, document: dict) -> None:
        asked.append(document["signature_name"])
        answer(handler, outputs(), 503 if len(asked) == 1 else 200)

    with http_server(busy_once) as url:
        found = ServerEngine.connect(url).run(IMAGES)
    np.testing.assert_allclose(found.probabilities, [[0.2, 0.3, 0.5]])
    assert asked == ["pixels", "pixels"]


def test_a_server_that_hangs_is_given_up_and_not_asked_again() -> None:
    asked, given_up = [], threading.Event()

    def hang(handler: BaseHTTPRequestHandler, document: dict) -> None:
        asked.append(document)
        given_up.wait(20)

    with http_server(hang) as url:
        address = Address.parse(url)
        engine = ServerEngine(address, RestClient(address, timeout_s=2))
        with pytest.raises(UsageError, match="does not answer within 2 s"):
            engine.run(IMAGES)
        given_up.set()
    assert len(asked) == 1


def test_where_nobody_listens_the_address_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            UsageError, match=rf"no server answers at {url} \(.*refused.*\); start one, or check --server"
        ):
            Predictor.connect(url)


@pytest.mark.skipif("TF_SERVING_URL" not in os.environ, reason=NEEDS)
def test_a_real_tf_serving_predicts() -> None:
    predictor = Predictor.connect(os.environ["TF_SERVING_URL"])
    image = np.random.default_rng(2).integers(0, 255, (120, 90, 3), dtype=np.uint8)
    first, again = predictor.predict([image, image])
    assert sum(first.probabilities) == pytest.approx(1, abs=1e-3)
    assert first.mask.shape == (120, 90)
    np.testing.assert_allclose(first.probabilities, again.probabilities, atol=1e-4)
    if model := os.environ.get("TF_SERVING_MODEL"):  # the .keras file or run that is served
        expected = Predictor.load(Path(model)).predict([image])[0]
        np.testing.assert_allclose(first.probabilities, expected.probabilities, atol=1 / 255)
        np.testing.assert_allclose(first.mask_probability, expected.mask_probability, atol=0.02)


SERVERS = [
    "stand-in",
    pytest.param("TF Serving", marks=pytest.mark.skipif("TF_SERVING_URL" not in os.environ, reason=NEEDS)),
]


@pytest.mark.parametrize("server", SERVERS)
def test_bytes_are_explained_and_the_row_that_is_no_image_is_named(server: str, url: str) -> None:
    address = Address.parse(url if server == "stand-in" else os.environ["TF_SERVING_URL"])
    client = GrpcClient(address) if address.scheme == "grpc" else RestClient(address)
    png = encode_png(np.random.default_rng(3).integers(0, 255, (80, 60, 3), dtype=np.uint8))
    for signature, picture in (("explain", "heatmap_png_bytes"), ("serving_default", "mask_png_bytes")):
        outputs = ("probabilities", picture)
        found = client.call(signature, {"image_bytes": np.array([png], object)}, outputs)
        assert read_image(found[picture][0]).shape == (80, 60, 3)
        assert found["probabilities"].sum() == pytest.approx(1, abs=1e-3)
        with pytest.raises(UsageError, match=r"image_bytes\[1\] is not a PNG, JPEG, BMP or GIF file"):
            client.call(signature, {"image_bytes": np.array([png, b"no image"], object)}, outputs)
