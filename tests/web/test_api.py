"""The page's API: what comes in, what comes out, and what is refused."""

import asyncio
import base64
import csv
import io
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pypdf import PdfReader

from busi_keras.card import Card
from busi_keras.data.busi import read_busi, read_sample
from busi_keras.data.phantom_set import INFO_FILE
from busi_keras.dicom.regions import Spacing
from busi_keras.errors import UsageError
from busi_keras.imaging import encode_png, read_image, read_mask
from busi_keras.inference.predictor import Predictor
from busi_keras.web.app import create_app
from busi_keras.web.case import Case
from busi_keras.web.frames import Frame, Frames
from busi_keras.web.served_model import ServedModel
from busi_keras.web.service import Settings
from busi_keras.web.sessions import NoRoomError


def lesion_png(height: int = 90, width: int = 120, brightness: int = 250, left: int = 30) -> bytes:
    """An image with one bright square, 40 x 40 px, 20 px from the top."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[20:60, left : left + 40] = brightness
    return encode_png(image)


def add(client: TestClient, content: bytes, name: str = "image.png") -> dict[str, Any]:
    """Uploads an image and predicts it."""
    uploaded = client.post("/api/uploads", content=content, headers={"X-File-Name": name})
    assert uploaded.status_code == 201, uploaded.text
    answer = client.post(f"/api/uploads/{uploaded.json()['key']}/frames/0")
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_case_says_class_probabilities_lesion_and_which_model(client: TestClient) -> None:
    case = add(client, lesion_png(), "ultrasound.png")
    finding = case["finding"]
    assert finding["label"] == "malignant"
    assert finding["probabilities"]["malignant"] == pytest.approx(250 / 255, abs=0.01)
    assert sum(finding["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert (finding["width"], finding["height"]) == (120, 90)
    assert len(finding["lesions"]) == 1
    np.testing.assert_allclose(finding["lesions"][0]["box"], (30, 20, 70, 60), atol=3)
    assert finding["lesions"][0]["size"]["unit"] == "px"
    assert finding["novelty"] == 1.5
    assert finding["model"].startswith("multitask resnet50 2026-11-23 ")
    assert finding["intended_use"] == "Research use, not a diagnosis."
    assert case["name"] == "ultrasound.png"
    assert client.get("/api/cases").json() == [case]
    assert client.get(f"/api/cases/{case['key']}").json() == case


def test_pixels_come_back_at_the_images_own_size(client: TestClient) -> None:
    content = lesion_png()
    address = f"/api/cases/{add(client, content)['key']}"
    shown = read_image(client.get(f"{address}/image.png").content)
    np.testing.assert_array_equal(shown, read_image(content))
    mask = read_mask(client.get(f"{address}/mask.png").content)
    probability = read_image(client.get(f"{address}/mask_probability.png").content)[..., 0]
    np.testing.assert_array_equal(mask, probability >= 128)
    assert mask.sum() == pytest.approx(1600, rel=0.1)
    heat_map = read_image(client.get(f"{address}/heat_map.png").content)
    assert heat_map.shape == (90, 120, 3)
    assert heat_map[40, 50].tolist() == [253, 231, 37]  # viridis at 1
    assert read_image(client.get(f"{address}/figure.png").content).shape[1] > 1500


def test_an_image_without_heat_map_says_so(client: TestClient) -> None:
    case = add(client, encode_png(np.full((50, 60), 20, np.uint8)))
    assert case["heat_map"] is False
    assert case["finding"]["label"] == "normal"
    answer = client.get(f"/api/cases/{case['key']}/heat_map.png")
    assert answer.status_code == 404
    assert "no heat map" in answer.json()["error"]


def test_a_file_is_predicted_and_forgotten_without_a_session(client: TestClient, tmp_path: Path) -> None:
    client.cookies.clear()
    [answer] = client.post("/api/predictions", content=lesion_png()).json()
    assert answer["finding"]["label"] == "malignant"
    assert read_mask(base64.b64decode(answer["mask_png"])).shape == (90, 120)
    assert not list(tmp_path.rglob("session-*/*"))


def broken_files() -> dict[str, tuple[bytes, str]]:
    whole = lesion_png()
    cmyk, animated, transparent = BytesIO(), BytesIO(), BytesIO()
    Image.new("CMYK", (40, 30)).save(cmyk, "JPEG")
    frames = [Image.new("L", (40, 30), grey) for grey in (0, 90)]
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    Image.new("RGBA", (40, 30), (9, 9, 9, 90)).save(transparent, "PNG")
    archive = BytesIO()
    with ZipFile(archive, "w") as file:
        file.writestr("image.png", whole)
    huge = BytesIO()
    Image.new("1", (8000, 7000)).save(huge, "PNG")
    return {
        "empty": (b"", "no image that can be read"),
        "text": (b"no image at all", "no image that can be read"),
        "markup": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "no image that can be read"),
        "truncated": (whole[:150], "is damaged"),
        "cmyk": (cmyk.getvalue(), "colour model CMYK"),
        "animated": (animated.getvalue(), "has 2 frames"),
        "transparent": (transparent.getvalue(), "partly transparent"),
        "zip": (archive.getvalue(), "zip archive; unpack it"),
        "huge": (huge.getvalue(), "over 50 megapixels"),
    }


@pytest.mark.parametrize("kind", broken_files())
def test_a_broken_file_ends_in_a_sentence_and_leaves_nothing(kind: str, client: TestClient, tmp_path: Path) -> None:
    content, sentence = broken_files()[kind]
    answer = client.post("/api/uploads", content=content, headers={"X-File-Name": "Doe%20Jane.png"})
    if answer.status_code == 201:
        answer = client.post(f"/api/uploads/{answer.json()['key']}/frames/0")
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]
    assert str(tmp_path) not in answer.text
    assert not list(tmp_path.rglob("*.upload"))
    assert add(client, lesion_png())["finding"]["label"] == "malignant"


def test_a_file_over_the_limit_is_refused_while_it_is_read(connect: Callable[..., TestClient], tmp_path: Path) -> None:
    client = connect(max_upload_bytes=1_000_000)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 100_000
            yield bytes(100_000)

    async def send() -> int:
        transport = httpx.ASGITransport(client.app)  # TestClient reads all of a body before it sends any
        async with httpx.AsyncClient(
            transport=transport, base_url="http://testserver", cookies=client.cookies
        ) as sender:
            return (await sender.post("/api/uploads", content=endless())).status_code

    announced = client.post("/api/uploads", content=bytes(1_000_001))
    assert announced.status_code == 413
    assert (
        announced.json()["error"]
        == "this file is over 1 MB; make it smaller, or start the server with a larger --max-upload"
    )
    assert asyncio.run(send()) == 413
    assert 1_000_000 < sent < 2_000_000
    assert not list(tmp_path.rglob("*.upload"))


def test_names_are_text_and_never_paths(client: TestClient, tmp_path: Path) -> None:
    for given, shown in {
        "..%2F..%2Fetc%2Fpasswd.png": "passwd.png",
        "C%3A%5Cscans%5Cbreast.png": "breast.png",
        "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.png": "<img src=x onerror=alert(1)>.png",
        "a%0Ab%00c.png": "abc.png",
        "": "unnamed",
        "x" * 500: "x" * 200,
    }.items():
        assert add(client, lesion_png(), given)["name"] == shown
    private = next(tmp_path.glob("busi_keras-*"))
    written = {part for path in private.rglob("*") for part in path.relative_to(private).parts}
    assert not any("passwd" in part or "breast" in part or "<" in part for part in written)


def test_the_table_stands_by_malignancy_and_a_name_is_no_formula(client: TestClient) -> None:
    add(client, lesion_png(brightness=140), "weak.png")
    add(client, lesion_png(brightness=250), "%3Dcmd().png")
    answer = client.get("/api/cases.csv?threshold=balanced")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["file"] for row in rows] == ["'=cmd().png", "weak.png"]
    assert [row["suspicious"] for row in rows] == ["yes", "no"]
    assert [row["frame"] for row in rows] == ["1", "1"]
    assert "attachment" in answer.headers["content-disposition"]
    answer = client.get("/api/cases.csv?threshold=none")
    assert answer.status_code == 422
    assert "it has ['screening', 'balanced']" in answer.json()["error"]


def test_the_report_holds_image_figure_numbers_model_date_and_what_it_is_for(client: TestClient) -> None:
    address = f"/api/cases/{add(client, lesion_png(), 'ultra$sound$.png')['key']}"
    answer = client.get(f"{address}/report.pdf?threshold=balanced")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == 'attachment; filename="busi-keras-report.pdf"'
    [page] = PdfReader(BytesIO(answer.content)).pages
    text = page.extract_text()
    for expected in (
        "Research use, not a diagnosis.", "Class: malignant", "balanced threshold, 75.0%", "Lesions outlined: 1",
        "ultra$sound$.png", "multitask resnet50 2026-11-23", "busi_keras 0", "Date: 20",
    ):  # fmt: skip
        assert expected in text
    assert len(page.images) == 2
    document = client.get(f"{address}/report.json").json()
    assert document["label"] == "malignant"
    assert document["threshold"] == {"name": "screening", "value": 0.25, "suspicious": True}
    assert document["intended_use"] == "Research use, not a diagnosis."
    for image in ("image_png", "mask_png", "figure_png"):
        assert read_image(base64.b64decode(document[image])).shape[2] == 3


def test_a_correction_is_saved_in_busis_layout_ready_for_training(client: TestClient, tmp_path: Path) -> None:
    case = add(client, lesion_png())
    drawn = np.zeros((90, 120), bool)
    drawn[10:30, 40:80] = True
    said = {"label": "benign", "mask_png": base64.b64encode(encode_png(drawn)).decode()}
    answer = client.put(f"/api/cases/{case['key']}/correction", json=said)
    size = {"width": 40.0, "height": 20.0, "area": 800.0, "unit": "px"}
    assert answer.json() == {
        "label": "benign",
        "saved": "benign/benign (1).png",
        "mask_drawn": True,
        "lesions": [{"box": [40, 10, 80, 30], "area_px": 800, "size": size}],
    }
    [record] = read_busi(tmp_path / "corrections")
    sample = read_sample(record)
    np.testing.assert_array_equal(sample.mask, drawn)
    np.testing.assert_array_equal(sample.image, read_image(lesion_png()))
    index = json.loads((tmp_path / "corrections" / "corrections.json").read_text())
    assert [(one["predicted"], one["mask_drawn"]) for one in index.values()] == [("malignant", True)]
    mask = read_mask(client.get(f"/api/cases/{case['key']}/mask.png").content)
    np.testing.assert_array_equal(mask, drawn)
    report = client.get(f"/api/cases/{case['key']}/report.json").json()
    assert report["corrected_label"] == "benign"

    again = client.put(f"/api/cases/{case['key']}/correction", json=said | {"label": "malignant"})
    assert again.json()["saved"] == "malignant/malignant (1).png"
    assert [record.name for record in read_busi(tmp_path / "corrections")] == ["malignant/malignant (1).png"]


def test_a_corrected_class_alone_leaves_the_mask_to_whom_it_is(client: TestClient, tmp_path: Path) -> None:
    case = add(client, lesion_png())
    address = f"/api/cases/{case['key']}"

    def noted() -> dict[str, Any]:
        [one] = json.loads((tmp_path / "corrections" / "corrections.json").read_text()).values()
        return one

    answer = client.put(f"{address}/correction", json={"label": "benign"}).json()
    assert answer == {"label": "benign", "saved": "benign/benign (1).png", "mask_drawn": False, "lesions": None}
    assert noted()["mask_drawn"] is False
    assert client.get(f"{address}/report.json").json()["corrected_mask_png"] is None

    drawn = np.zeros((90, 120), bool)
    drawn[10:30, 40:80] = True
    mask_png = base64.b64encode(encode_png(drawn)).decode()
    client.put(f"{address}/correction", json={"label": "benign", "mask_png": mask_png})
    assert client.put(f"{address}/correction", json={"label": "malignant"}).json()["mask_drawn"] is True
    assert (noted()["label"], noted()["mask_drawn"]) == ("malignant", True)
    [record] = read_busi(tmp_path / "corrections")
    np.testing.assert_array_equal(read_sample(record).mask, drawn)


def test_a_frame_is_asked_for_once_and_a_removed_upload_is_not_there(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Cine:
        count, pixels = 2, 90 * 120

        def read(self, index: int) -> Frame:
            if index == 1:
                next(tmp_path.rglob("*.upload")).unlink()
                raise UsageError("this file does not exist")
            return Frame(read_image(lesion_png()))

    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", lambda upload: Cine())
    key = client.post("/api/uploads", content=b"a cine").json()["key"]
    assert client.post(f"/api/uploads/{key}/frames/0").status_code == 201
    again = client.post(f"/api/uploads/{key}/frames/0")
    assert (again.status_code, len(client.get("/api/cases").json())) == (404, 1)
    assert again.json()["error"].startswith("this frame was asked for already")
    gone = client.post(f"/api/uploads/{key}/frames/1")
    assert (gone.status_code, "removed meanwhile" in gone.text) == (404, True)


def test_what_is_on_its_way_takes_room(client: TestClient) -> None:
    sessions = client.app.state.service.sessions
    session = next(iter(sessions._sessions.values()))
    sessions._limit = 1000
    with sessions.room(session, 600) as arriving:
        assert sessions.stored_bytes == 600
        with pytest.raises(NoRoomError), sessions.room(session, 401):
            pass
        sessions.grown(arriving, 1000)
        with pytest.raises(NoRoomError):
            sessions.grown(arriving, 1001)
    assert sessions.stored_bytes == 0
    sessions._limit = 10_000_000
    key = client.post("/api/uploads", content=lesion_png()).json()["key"]
    sessions._limit = sessions.stored_bytes + 2 * 90 * 120 - 1
    assert client.post(f"/api/uploads/{key}/frames/0").status_code == 507
    sessions._limit += 1
    assert client.post(f"/api/uploads/{key}/frames/0").status_code == 201


def test_the_session_ends_while_its_case_is_stored(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = client.app.state.service
    store = Case.store

    def slow(*arguments: Any) -> Case:
        case = store(*arguments)
        service.sessions.end(next(iter(service.sessions._sessions.values())))
        arguments[-1].mkdir(parents=True)  # as if it had been written after the end
        return case

    monkeypatch.setattr(Case, "store", slow)
    key = client.post("/api/uploads", content=lesion_png()).json()["key"]
    assert client.post(f"/api/uploads/{key}/frames/0").status_code == 410
    assert not list(tmp_path.rglob("session-*"))


def test_requests_that_are_no_uploads_have_small_bodies(client: TestClient) -> None:
    long = {"user": "a" * 100_000, "password": ""}
    announced = client.post("/api/login", json=long)
    assert (announced.status_code, announced.json()["error"]) == (
        413,
        "this request is over 100000 bytes; send less",
    )
    chunks = (json.dumps(long)[start : start + 5000].encode() for start in range(0, 105_000, 5000))
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/login", content=chunks, headers=headers).status_code == 413
    correction = client.put("/api/cases/none/correction", json={"label": "benign", "mask_png": "a" * 200_000})
    assert correction.status_code == 404


def test_corrections_of_phantoms_stay_apart(client: TestClient, tmp_path: Path) -> None:
    case = add(client, client.get("/api/examples/0.png").content)
    assert case["phantom"] is True
    drawn = np.zeros((case["finding"]["height"], case["finding"]["width"]), bool)
    drawn[5:9, 5:9] = True
    said = {"label": "benign", "mask_png": base64.b64encode(encode_png(drawn)).decode()}
    saved = client.put(f"/api/cases/{case['key']}/correction", json=said).json()["saved"]
    assert saved == "phantoms/benign/benign (1).png"
    assert (tmp_path / "corrections" / "phantoms" / INFO_FILE).exists()


WRONG_CORRECTIONS = {
    "class": ({"label": "cyst"}, "the class is cyst; it must be one of benign, malignant, normal"),
    "normal with lesion": ({"label": "normal"}, "a normal image has no lesion"),
    "lesion without": ({"label": "benign", "mask_png": "EMPTY"}, "a benign image has a lesion; draw its mask"),
    "another size": ({"label": "benign", "mask_png": "SMALL"}, "the mask is 9 x 9 px; draw it on the image, 120 x 90"),
    "no image": ({"label": "benign", "mask_png": "aGVsbG8="}, "no image that can be read"),
    "no base64": ({"label": "benign", "mask_png": "???"}, "not in base64"),
    "no class": ({}, "body.label"),
}


@pytest.mark.parametrize("kind", WRONG_CORRECTIONS)
def test_a_correction_that_contradicts_itself_is_refused(kind: str, client: TestClient, tmp_path: Path) -> None:
    said, sentence = WRONG_CORRECTIONS[kind]
    masks = {"EMPTY": np.zeros((90, 120), bool), "SMALL": np.ones((9, 9), bool)}
    if said.get("mask_png") in masks:
        said = said | {"mask_png": base64.b64encode(encode_png(masks[said["mask_png"]])).decode()}
    case = add(client, lesion_png())
    answer = client.put(f"/api/cases/{case['key']}/correction", json=said)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]
    assert not list((tmp_path).glob("corrections/*"))


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
    assert "was replaced since the server started" in client.get("/ready").json()["notice"]
    model.path.unlink()
    [notice] = client.get("/api/model").json()["notices"]
    assert "is not there any more" in notice
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


def test_sessions_do_not_see_each_others_cases(client: TestClient) -> None:
    case = add(client, lesion_png())
    client.cookies.clear()
    assert client.get("/api/cases").status_code == 410
    client.post("/api/session")
    assert client.get("/api/cases").json() == []
    assert client.get(f"/api/cases/{case['key']}/image.png").status_code == 404


def test_other_hosts_and_other_sites_are_refused(connect: Callable[..., TestClient]) -> None:
    client = connect(hosts=("testserver",))
    assert client.get("/health", headers={"Host": "rebound.example:8000"}).status_code == 421
    assert client.post("/api/session", headers={"Origin": "http://elsewhere.example"}).status_code == 403
    assert client.post("/api/session", headers={"Origin": "http://testserver"}).status_code == 204


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


def test_a_file_of_many_frames_is_asked_for_one_by_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Cine:
        count, pixels = 3, 90 * 120

        def read(self, index: int) -> Frame:
            return Frame(read_image(lesion_png(left=10 * index)), Spacing(x_mm=0.2, y_mm=0.1), ("burnt-in text",))

    def cine(upload: Path) -> Frames:
        return Cine()

    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", cine)
    uploaded = client.post("/api/uploads", content=b"a cine", headers={"X-File-Name": "cine"}).json()
    assert uploaded["frames"] == 3
    for index in range(3):
        case = client.post(f"/api/uploads/{uploaded['key']}/frames/{index}").json()
        assert (case["frame"], case["frames"]) == (index, 3)
        x0, y0, x1, y1 = case["finding"]["lesions"][0]["box"]
        size = case["finding"]["lesions"][0]["size"]
        assert (size["width"], size["height"]) == pytest.approx((0.2 * (x1 - x0), 0.1 * (y1 - y0)))
        assert size["unit"] == "mm"
        assert case["finding"]["warnings"] == ["burnt-in text"]
    assert not list(tmp_path.rglob("*.upload"))
    assert client.post(f"/api/uploads/{uploaded['key']}/frames/0").status_code == 404
    assert client.get(f"/api/cases/{case['key']}/report.json").json()["spacing_mm"] == [0.2, 0.1]
