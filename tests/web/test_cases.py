"""What comes out of an image: a case, its pixels, its place in the table, its report."""

import base64
import csv
import io
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pypdf import PdfReader

from busi_keras.imaging import encode_png, read_image, read_mask
from tests.web.asking import add, lesion_png


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


def test_the_table_stands_by_malignancy_and_a_name_is_no_formula(client: TestClient) -> None:
    add(client, lesion_png(brightness=140), "weak.png")
    add(client, lesion_png(brightness=250), "%3Dcmd().png")
    answer = client.get("/api/cases.csv?threshold=balanced")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["file"] for row in rows] == ["'=cmd().png", "weak.png"]
    assert [row["suspicious"] for row in rows] == ["yes", "no"]
    assert {row["threshold"] for row in rows} == {"balanced, 75.0%"}
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


def test_sessions_do_not_see_each_others_cases(client: TestClient) -> None:
    case = add(client, lesion_png())
    client.cookies.clear()
    assert client.get("/api/cases").status_code == 410
    client.post("/api/session")
    assert client.get("/api/cases").json() == []
    assert client.get(f"/api/cases/{case['key']}/image.png").status_code == 404
