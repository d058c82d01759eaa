"""What a program sends to the server."""

from typing import Any

import httpx
import numpy as np
from fastapi.testclient import TestClient

from busi_keras.imaging import encode_png


def lesion_png(height: int = 90, width: int = 120, brightness: int = 250, left: int = 30) -> bytes:
    """An image with one bright square, 40 x 40 px, 20 px from the top."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[20:60, left : left + 40] = brightness
    return encode_png(image)


def send(client: TestClient, content: bytes, name: str = "image.png") -> httpx.Response:
    """Uploads an image and asks for its prediction, unless the upload is refused; the last answer."""
    answer = client.post("/api/uploads", content=content, headers={"X-File-Name": name})
    if answer.status_code == 201:
        answer = client.post(f"/api/uploads/{answer.json()['key']}/frames/0")
    return answer


def add(client: TestClient, content: bytes, name: str = "image.png") -> dict[str, Any]:
    """Uploads an image and predicts it."""
    answer = send(client, content, name)
    assert answer.status_code == 201, answer.text
    case: dict[str, Any] = answer.json()
    return case
