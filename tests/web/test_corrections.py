"""Corrections by readers: what is saved, what is refused."""

import base64
import csv
import io
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from busi_keras.data.busi import read_busi, read_sample
from busi_keras.data.phantom_set import INFO_FILE
from busi_keras.imaging import encode_png, read_image, read_mask
from tests.web.asking import add, lesion_png


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


def test_the_models_own_mask_is_nobodys_drawing(client: TestClient, tmp_path: Path) -> None:
    address = f"/api/cases/{add(client, lesion_png())['key']}"
    models = client.get(f"{address}/mask.png").content
    drawn = np.zeros((90, 120), bool)
    drawn[10:30, 40:80] = True
    for mask, by_reader in ((models, False), (encode_png(drawn), True), (models, False)):
        said = {"label": "malignant", "mask_png": base64.b64encode(mask).decode()}
        answer = client.put(f"{address}/correction", json=said).json()
        assert (answer["mask_drawn"], answer["lesions"] is None) == (by_reader, not by_reader)
        assert client.get(f"{address}/mask.png").content == mask
        assert bool(list(tmp_path.rglob("corrected.png"))) is by_reader
        [noted] = json.loads((tmp_path / "corrections" / "corrections.json").read_text()).values()
        assert noted["mask_drawn"] is by_reader


def test_the_table_holds_the_readers_lesions_and_says_whose_they_are(client: TestClient) -> None:
    address = f"/api/cases/{add(client, lesion_png())['key']}"
    add(client, lesion_png(brightness=140))
    drawn = np.zeros((90, 120), bool)
    drawn[10:30, 40:80] = drawn[50:55, 5:10] = True
    said = {"label": "benign", "mask_png": base64.b64encode(encode_png(drawn)).decode()}
    client.put(f"{address}/correction", json=said)
    corrected, other = csv.DictReader(io.StringIO(client.get("/api/cases.csv").text))
    assert [corrected[column] for column in ("lesions", "largest_box", "largest_area_px", "outlined_by")] == [
        "2", "40 10 80 30", "800", "reader",
    ]  # fmt: skip
    assert (other["lesions"], other["outlined_by"]) == ("1", "model")
    assert {row["intended_use"] for row in (corrected, other)} == {"Research use, not a diagnosis."}


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
    "another size": (
        {"label": "benign", "mask_png": "SMALL"},
        "the mask has 81 pixels; draw it on the image, 120 x 90",
    ),
    "on its side": (
        {"label": "benign", "mask_png": "TURNED"},
        "the mask is 90 x 120 px; draw it on the image, 120 x 90",
    ),
    "huge, not decoded": ({"label": "benign", "mask_png": "HUGE"}, "the mask has 49000000 pixels; draw it"),
    "no image": ({"label": "benign", "mask_png": "aGVsbG8="}, "not a readable image"),
    "no base64": ({"label": "benign", "mask_png": "???"}, "not in base64"),
    "no ASCII": ({"label": "benign", "mask_png": "\u00e9"}, "not in base64"),
    "no class": ({}, "body.label"),
}


@pytest.mark.parametrize("kind", WRONG_CORRECTIONS)
def test_a_correction_that_contradicts_itself_is_refused(kind: str, client: TestClient, tmp_path: Path) -> None:
    said, sentence = WRONG_CORRECTIONS[kind]
    masks = {
        "EMPTY": encode_png(np.zeros((90, 120), bool)),
        "SMALL": encode_png(np.ones((9, 9), bool)),
        "TURNED": encode_png(np.ones((120, 90), bool)),
        "HUGE": encode_png(np.zeros((7000, 7000), bool))[:2000],  # cut off: whoever decodes it finds it damaged
    }
    if said.get("mask_png") in masks:
        said = said | {"mask_png": base64.b64encode(masks[said["mask_png"]]).decode()}
    case = add(client, lesion_png())
    answer = client.put(f"/api/cases/{case['key']}/correction", json=said)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]
    assert not list((tmp_path).glob("corrections/*"))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_correction_that_fills_the_disk_is_refused_and_half_a_pair_is_not_left(
    small_disk: Path, connect: Callable[..., TestClient]
) -> None:
    client = connect(corrections=small_disk / "corrections")
    case = add(client, lesion_png())
    drawn = np.zeros((90, 120), bool)
    drawn[10:30, 40:80] = True
    said = {"label": "benign", "mask_png": base64.b64encode(encode_png(drawn)).decode()}
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))  # one page is left: the mask's
    refused = client.put(f"/api/cases/{case['key']}/correction", json=said)
    assert refused.status_code == 507
    assert refused.json()["error"].startswith("the server's disk is full or not writable: nothing was saved")
    assert str(small_disk) not in refused.text
    assert files(small_disk) == {"ballast"}
    assert client.get(f"/api/cases/{case['key']}").json()["correction"] is None
    ballast.unlink()
    assert client.put(f"/api/cases/{case['key']}/correction", json=said).json()["saved"] == "benign/benign (1).png"
    assert [record.name for record in read_busi(small_disk / "corrections")] == ["benign/benign (1).png"]


def test_a_correction_whose_mask_finds_no_room_in_the_session_saves_nothing(
    small_disk: Path, connect: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = connect(private_parent=small_disk)
    case = add(client, lesion_png())
    drawn = np.zeros((90, 120), bool)
    drawn[10:30, 40:80] = True
    said = {"label": "benign", "mask_png": base64.b64encode(encode_png(drawn)).decode()}
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    refused = client.put(f"/api/cases/{case['key']}/correction", json=said)
    assert refused.status_code == 507
    assert "memory for images is full" in refused.json()["error"]
    assert not list(tmp_path.glob("corrections/*"))
    assert client.get(f"/api/cases/{case['key']}").json() == case
    ballast.unlink()
    session = client.app.state.service.sessions
    session._limit = session.stored_bytes  # as much as is there
    assert client.put(f"/api/cases/{case['key']}/correction", json=said).status_code == 507
    assert not list(tmp_path.glob("corrections/*"))


def test_a_pair_that_cannot_be_saved_leaves_the_sessions_mask_as_it_was(
    client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"/api/cases/{add(client, lesion_png())['key']}"
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections" / "corrections.json").write_text("{")
    before = files(tmp_path)
    mask = client.get(f"{address}/mask.png").content
    said = {"label": "benign", "mask_png": base64.b64encode(encode_png(np.ones((90, 120), bool))).decode()}
    with caplog.at_level(logging.ERROR):
        refused = client.put(f"{address}/correction", json=said)
    assert (refused.status_code, refused.json()["error"]) == (
        500,
        "the server's folder of corrections is damaged: nothing was saved; tell its operator",
    )
    assert str(tmp_path / "corrections" / "corrections.json") in caplog.text
    assert files(tmp_path) == before
    assert client.get(f"{address}/mask.png").content == mask
