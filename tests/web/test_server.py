"""The server: health, a full queue, the model behind it, who may ask."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from busi_keras.card import Card
from busi_keras.inference.predictor import Predictor
from busi_keras.web.app import create_app
from busi_keras.web.served_model import ServedModel
from busi_keras.web.service import Settings
from tests.web.asking import add, lesion_png


def test_a_full_queue_answers_503_and_when_to_come_back(
    connect: Callable[..., TestClient], engine: Any, tmp_path: Path
) -> None:
    client = connect(capacity=2)
    keys = [client.post("/api/uploads", content=lesion_png()).json()["key"] for _ in range(3)]
    engine.go_on.clear()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.post, f"/api/uploads/{key}/frames/0") for key in keys[:2]]
        queue = client.app.state.service.queue
        until = time.monotonic() + 10
        while queue.places_taken < 2 and time.monotonic() < until:
            time.sleep(0.01)
        full = client.post(f"/api/uploads/{keys[2]}/frames/0")
        engine.go_on.set()
        assert [future.result().status_code for future in waiting] == [201, 201]
    assert full.status_code == 503
    assert int(full.headers["Retry-After"]) >= 1
    assert full.json()["error"] == "too many images are waiting"
    assert client.post(f"/api/uploads/{keys[2]}/frames/0").status_code == 201
    assert "busi_keras_queue_full_total 1.0" in client.get("/metrics").text


def test_health_is_there_before_the_model_and_readiness_with_it(
    settings: Settings, engine: Any, card: Card, tmp_path: Path
) -> None:
    go_on, loaded = threading.Event(), threading.Event()

    def load(path: Path) -> Predictor:
        go_on.wait(20)
        return Predictor(engine, card)

    (tmp_path / "model.onnx").write_bytes(b"a network")
    model = ServedModel(tmp_path / "model.onnx", load)
    model.start(loaded.set)
    with TestClient(create_app(model, settings)) as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/").status_code == 200
        assert (client.get("/ready").status_code, client.get("/ready").json()["state"]) == (503, "loading")
        early = client.post("/api/predictions", content=lesion_png())
        assert (early.status_code, early.headers["Retry-After"]) == (503, "2")
        go_on.set()
        loaded.wait(20)
        assert client.get("/ready").json() == {"state": "ready", "notice": None}
        assert client.post("/api/predictions", content=lesion_png()).status_code == 200


def test_a_model_file_that_goes_or_changes_is_said_and_results_go_on(client: TestClient, model: ServedModel) -> None:
    model.path.with_suffix(".new").write_bytes(b"another")
    model.path.with_suffix(".new").replace(model.path)
    assert "has been replaced since the server started" in client.get("/ready").json()["notice"]
    model.path.unlink()
    [notice] = client.get("/api/model").json()["notices"]
    assert "has disappeared" in notice
    assert add(client, lesion_png())["finding"]["label"] == "malignant"


def test_the_model_says_its_thresholds_most_sensitive_first(client: TestClient) -> None:
    answer = client.get("/api/model").json()
    assert list(answer["thresholds"].items()) == [("screening", 0.25), ("balanced", 0.75)]
    assert answer["operating"] == {"screening": {"sensitivity": 0.9, "specificity": 0.65}}
    assert (answer["warnings"], answer["notices"]) == ([], [])
    assert len(answer["examples"]) == 6


def test_metrics_and_logs_hold_no_name(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    case = add(client, lesion_png(), "Jane%20Doe%201962.png")
    client.get(f"/api/cases/{case['key']}/image.png")
    client.post("/api/uploads", content=b"broken", headers={"X-File-Name": "Jane%20Doe%201962.png"})
    client.request("JANE", "/health")
    metrics = client.get("/metrics").text
    assert 'method="other"' in metrics
    assert "JANE" not in metrics
    assert 'route="/api/cases/{key}/image.png"' in metrics
    assert 'busi_keras_predictions_total{label="malignant"} 1.0' in metrics
    for text in (metrics, caplog.text):
        assert "Jane" not in text
        assert case["key"] not in text


def test_other_hosts_and_other_sites_are_refused(connect: Callable[..., TestClient]) -> None:
    client = connect(hosts=("testserver",))
    assert client.get("/health", headers={"Host": "rebound.example:8000"}).status_code == 421
    assert client.post("/api/session", headers={"Origin": "http://elsewhere.example"}).status_code == 403
    assert client.post("/api/session", headers={"Origin": "http://testserver"}).status_code == 204
    assert client.get("/health", headers={"Host": "["}).status_code == 421  # no address at all
    assert client.post("/api/session", headers={"Origin": "http://["}).status_code == 403


def test_every_answer_keeps_the_page_to_itself(client: TestClient) -> None:
    for address in ("/", "/docs", "/api/model", "/nowhere"):
        headers = client.get(address).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_openapi_describes_each_route_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "application/octet-stream" in document["paths"]["/api/predictions"]["post"]["requestBody"]["content"]
    for path, methods in document["paths"].items():
        for method in methods.values():
            assert method.get("description"), path
    static = Path(__file__).parents[2] / "busi_keras" / "web" / "static"
    files = [file for file in static.iterdir() if file.suffix in (".html", ".css", ".js")]
    assert {file.suffix for file in files} == {".html", ".css", ".js"}
    for file in files:
        text = file.read_text(encoding="utf-8")
        text = re.sub(r"(?m)(^|\s)// .*", "", text) if file.suffix == ".js" else text  # comments
        assert "//" not in text.replace("http://www.w3.org/2000/svg", ""), file.name
