"""A server whose disk is full, or whose client falls silent: a sentence, nothing left, and it goes on."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from busi_keras.data.busi import read_busi
from busi_keras.imaging import encode_png


def square_png(height: int = 90, width: int = 120) -> bytes:
    """An image with one bright square."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[20:60, 30:70] = 250
    return encode_png(image)


def noise_png(side: int) -> bytes:
    """An image that no PNG makes small."""
    return encode_png(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def add(client: TestClient, content: bytes) -> Any:
    """Uploads an image and predicts it, until something is refused."""
    answer = client.post("/api/uploads", content=content, headers={"X-File-Name": "Doe%20Jane.png"})
    if answer.status_code == 201:
        answer = client.post(f"/api/uploads/{answer.json()['key']}/frames/0")
    return answer


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_an_upload_that_fills_the_disk_is_refused_in_a_sentence_and_the_next_is_predicted(
    small_disk: Path, connect: Callable[..., TestClient]
) -> None:
    client = connect(private_parent=small_disk)
    before = files(small_disk)
    answer = add(client, noise_png(700))
    assert answer.status_code == 507
    assert answer.json()["error"] == "the server's memory for images is full; remove some, or end the session"
    assert files(small_disk) == before
    assert add(client, square_png()).json()["finding"]["label"] == "malignant"


def test_a_case_that_fills_the_disk_leaves_nothing_of_it(small_disk: Path, connect: Callable[..., TestClient]) -> None:
    """The upload fits on the disk, its image, mask and heat map beside it do not."""
    client = connect(private_parent=small_disk)
    answer = add(client, noise_png(480))
    assert answer.status_code == 507
    assert client.get("/api/cases").json() == []
    assert not [name for name in files(small_disk) if name.endswith((".png", ".npy", ".npz"))]


def test_a_correction_that_fills_the_disk_is_refused_and_half_a_pair_is_not_left(
    small_disk: Path, connect: Callable[..., TestClient]
) -> None:
    client = connect(corrections=small_disk / "corrections")
    case = add(client, square_png()).json()
    drawn = np.zeros((90, 120), bool)
    drawn[10:30, 40:80] = True
    said = {"label": "benign", "mask_png": base64.b64encode(encode_png(drawn)).decode()}
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))  # one page is left: the mask's
    refused = client.put(f"/api/cases/{case['key']}/correction", json=said)
    assert refused.status_code == 507
    assert refused.json()["error"].startswith(
        "the server's disk is full or refuses to be written to: nothing was saved"
    )
    assert str(small_disk) not in refused.text
    assert files(small_disk) == {"ballast"}
    assert client.get(f"/api/cases/{case['key']}").json()["correction"] is None
    ballast.unlink()
    assert client.put(f"/api/cases/{case['key']}/correction", json=said).json()["saved"] == "benign/benign (1).png"
    assert [record.name for record in read_busi(small_disk / "corrections")] == ["benign/benign (1).png"]


def test_an_upload_that_falls_silent_is_given_up(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busi_keras.web.upload_routes.SILENCE_SECONDS", 0.2)

    async def half() -> AsyncIterator[bytes]:
        yield square_png()[:500]
        await asyncio.sleep(30)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(client.app)  # TestClient reads all of a body before it sends any
        async with httpx.AsyncClient(
            transport=transport, base_url="http://testserver", cookies=client.cookies
        ) as sender:
            return await sender.post("/api/uploads", content=half())

    answer = asyncio.run(send())
    assert (answer.status_code, answer.json()) == (408, {"error": "the upload broke off; drop the file again"})
    assert not list(tmp_path.rglob("*.upload"))
    assert add(client, square_png()).json()["finding"]["label"] == "malignant"
