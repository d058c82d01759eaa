"""A page whose network outlines what is bright: exact, and at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from busi_keras.card import Card
from busi_keras.inference.engine import Outputs
from busi_keras.inference.predictor import Predictor
from busi_keras.web.app import create_app
from busi_keras.web.served_model import ServedModel
from busi_keras.web.service import Settings

SIZE = 64
THRESHOLDS = {"balanced": 0.75, "screening": 0.25}


class BrightnessEngine:
    """Outlines what is brighter than 128; malignant as far as the brightest pixel is bright."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def run(self, images: np.ndarray) -> Outputs:
        self.go_on.wait(20)
        self.batches.append(len(images))
        bright = (images[..., 0] > 128).astype(np.float32)
        malignant = images[..., 0].max(axis=(1, 2)) / 255
        probabilities = np.stack([(1 - malignant) / 4, malignant, 3 * (1 - malignant) / 4], axis=1)
        return Outputs(bright, probabilities.astype(np.float32), bright, np.full(len(images), 1.5, np.float32))


@pytest.fixture
def engine() -> BrightnessEngine:
    return BrightnessEngine()


@pytest.fixture
def card() -> Card:
    counts: dict[str, dict[str, int]] = {}
    return Card(
        "multitask", SIZE, "BUSI", counts, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-23",
        thresholds=THRESHOLDS, operating={"screening": {"sensitivity": 0.9, "specificity": 0.65}},
    )  # fmt: skip


@pytest.fixture
def model(engine: BrightnessEngine, card: Card, tmp_path: Path) -> ServedModel:
    """A model that is loaded; its file holds nothing of use."""
    file = tmp_path / "model.onnx"
    file.write_bytes(b"a network")
    served = ServedModel(file, lambda path: Predictor(engine, card))
    loaded = threading.Event()
    served.start(loaded.set)
    loaded.wait(20)
    engine.batches.clear()
    return served


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(corrections=tmp_path / "corrections", private_parent=tmp_path)


@pytest.fixture
def connect(model: ServedModel, settings: Settings) -> Iterator[Callable[..., TestClient]]:
    """Starts a server with other settings, and gives a client that has a session."""
    with ExitStack() as stack:

        def start(**changes: Any) -> TestClient:
            app = create_app(model, replace(settings, **changes))
            client = stack.enter_context(TestClient(app, raise_server_exceptions=False))
            client.post("/api/session")
            return client

        yield start


@pytest.fixture
def client(connect: Callable[..., TestClient]) -> TestClient:
    return connect()
