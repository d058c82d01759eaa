"""Corrections by readers: what is saved, what is refused."""

import base64
import json
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
    assert refused.json()["error"].startswith(
        "the server's disk is full or refuses to be written to: nothing was saved"
    )
    assert str(small_disk) not in refused.text
    assert files(small_disk) == {"ballast"}
    assert client.get(f"/api/cases/{case['key']}").json()["correction"] is None
    ballast.unlink()
    assert client.put(f"/api/cases/{case['key']}/correction", json=said).json()["saved"] == "benign/benign (1).png"
    assert [record.name for record in read_busi(small_disk / "corrections")] == ["benign/benign (1).png"]
