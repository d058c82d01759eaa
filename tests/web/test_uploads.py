"""What comes in: files that are broken, too large, silent, or too many for the disk."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from busi_keras.dicom.regions import Spacing
from busi_keras.errors import UsageError
from busi_keras.imaging import encode_png, read_image
from busi_keras.web.case import Case
from busi_keras.web.frames import Frame, Frames
from busi_keras.web.sessions import NoRoomError
from tests.web.asking import add, lesion_png, send


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
        "empty": (b"", "not a readable image"),
        "text": (b"no image at all", "not a readable image"),
        "markup": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "not a readable image"),
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
    assert (gone.status_code, "since been removed" in gone.text) == (404, True)


def test_an_upload_that_nobody_asks_for_any_more_goes(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Cine:
        count, pixels = 3, 90 * 120

        def read(self, index: int) -> Frame:
            sessions.end_idle()  # a frame that takes long is no idle upload
            return Frame(read_image(lesion_png()))

    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", lambda upload: Cine())
    sessions = client.app.state.service.sessions
    used, forgotten = (client.post("/api/uploads", content=b"a cine").json()["key"] for _ in range(2))
    now = time.monotonic()
    monkeypatch.setattr(sessions, "_clock", lambda: now + 110)
    sessions.end_idle()
    assert len(list(tmp_path.rglob("*.upload"))) == 2
    assert client.post(f"/api/uploads/{used}/frames/0").status_code == 201
    monkeypatch.setattr(sessions, "_clock", lambda: now + 125)
    sessions.end_idle()
    assert [file.stem for file in tmp_path.rglob("*.upload")] == [used]
    gone = client.post(f"/api/uploads/{forgotten}/frames/0")
    assert (gone.status_code, "drop the file again" in gone.text) == (404, True)
    monkeypatch.setattr(sessions, "_clock", lambda: now + 500)
    assert client.post(f"/api/uploads/{used}/frames/1").status_code == 201


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


def noise_png(side: int) -> bytes:
    """An image that no PNG makes small."""
    return encode_png(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_an_upload_that_fills_the_disk_is_refused_in_a_sentence_and_the_next_is_predicted(
    small_disk: Path, connect: Callable[..., TestClient]
) -> None:
    client = connect(private_parent=small_disk)
    before = files(small_disk)
    answer = send(client, noise_png(700))
    assert answer.status_code == 507
    assert answer.json()["error"] == "the server's memory for images is full; remove some, or end the session"
    assert files(small_disk) == before
    assert add(client, lesion_png())["finding"]["label"] == "malignant"


def test_a_case_that_fills_the_disk_leaves_nothing_of_it(small_disk: Path, connect: Callable[..., TestClient]) -> None:
    """The upload fits on the disk, its image, mask and heat map beside it do not."""
    client = connect(private_parent=small_disk)
    answer = send(client, noise_png(480))
    assert answer.status_code == 507
    assert client.get("/api/cases").json() == []
    assert not [name for name in files(small_disk) if name.endswith((".png", ".npy", ".npz"))]


def test_an_upload_that_falls_silent_is_given_up(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busi_keras.web.upload_routes.SILENCE_SECONDS", 0.2)

    async def half() -> AsyncIterator[bytes]:
        yield lesion_png()[:500]
        await asyncio.sleep(30)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(client.app)  # TestClient reads all of a body before it sends any
        async with httpx.AsyncClient(
            transport=transport, base_url="http://testserver", cookies=client.cookies
        ) as sender:
            return await sender.post("/api/uploads", content=half())

    answer = asyncio.run(send())
    assert (answer.status_code, answer.json()) == (408, {"error": "the upload was interrupted; drop the file again"})
    assert not list(tmp_path.rglob("*.upload"))
    assert add(client, lesion_png())["finding"]["label"] == "malignant"
