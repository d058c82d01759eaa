"""DICOM dropped on the page: frames cut to the scanned area, sizes in mm, and nothing of the patient."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydicom import Dataset

from busi_keras.inference.predictor import Predictor
from busi_keras.web.app import create_app
from busi_keras.web.served_model import ServedModel
from busi_keras.web.service import Settings


@pytest.fixture
def client(predictor: Predictor, tmp_path: Path) -> Iterator[TestClient]:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"a network")
    model, loaded = ServedModel(file, lambda path: predictor), threading.Event()
    model.start(loaded.set)
    assert loaded.wait(20)
    with TestClient(create_app(model, Settings(private_parent=tmp_path)), raise_server_exceptions=False) as client:
        client.post("/api/session")
        yield client


def upload(client: TestClient, file: Path) -> dict:
    answer = client.post("/api/uploads", content=file.read_bytes(), headers={"X-File-Name": "case"})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_frames_of_a_cine_are_cut_to_the_scanned_area_and_measured_in_mm(
    client: TestClient,
    ultrasound_file: Callable[..., Path],
    region: Callable[..., Dataset],
    patient: tuple[str, ...],
    tmp_path: Path,
) -> None:
    stored = np.zeros((3, 90, 120), np.uint8)
    stored[:, :10] = 255  # text above the scanned area
    stored[2, 40:60, 50:80] = 250
    file = ultrasound_file(
        tmp_path / "cine.dcm", stored, SequenceOfUltrasoundRegions=[region((20, 10, 110, 80))], BurnedInAnnotation="YES"
    )
    given = upload(client, file)
    assert given["frames"] == 3
    cases = [client.post(f"/api/uploads/{given['key']}/frames/{index}").json() for index in (2, 0)]
    found, empty = (case["finding"] for case in cases)
    assert (found["width"], found["height"]) == (90, 70)
    assert found["spacing_mm"] == [pytest.approx(0.1), pytest.approx(0.2)]
    np.testing.assert_allclose(found["lesions"][0]["box"], (30, 30, 60, 50), atol=3)
    assert found["lesions"][0]["size"]["unit"] == "mm"
    assert found["lesions"][0]["size"]["width"] == pytest.approx(3, abs=0.5)
    assert empty["lesions"] == []
    assert any("burnt-in annotation" in warning for warning in found["warnings"])
    text = str(cases)
    assert not [word for word in patient if word in text]


def test_broken_dicom_is_a_sentence_that_names_neither_path_nor_patient(
    client: TestClient, ultrasound_file: Callable[..., Path], patient: tuple[str, ...], tmp_path: Path
) -> None:
    whole = ultrasound_file(tmp_path / "still.dcm", np.full((60, 80), 40, np.uint8)).read_bytes()
    for content, expected in ((whole[:-500], "but 4300 of 4800 bytes are there"), (whole[:300], "this file")):
        answer = client.post("/api/uploads", content=content, headers={"X-File-Name": "Jane%20Doe.dcm"})
        assert answer.status_code == 422
        sentence = answer.json()["error"]
        assert expected in sentence
        assert sentence.startswith("this file")
        assert str(tmp_path) not in sentence
        assert not [word for word in (*patient, "Jane") if word in sentence]
