"""The figure of panels: what stands in it, with and without a true mask, with and without a map."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from busi_keras.card import RESEARCH_USE
from busi_keras.evaluation.lesions import find_lesions
from busi_keras.imaging import read_image
from busi_keras.inference.predictor import Prediction
from busi_keras.report.panels import PanelData, draw_contact_sheet, draw_panels, render_panels

WARNING = "mask and class disagree"


@pytest.fixture
def data() -> PanelData:
    """A tall image with a bright lesion, whose map is hottest at the bottom right."""
    image = np.full((120, 80, 3), 30, np.uint8)
    image[30:60, 20:50] = 220
    mask = image[..., 0] > 128
    heat_map = np.linspace(0, 1, mask.size, dtype=np.float32).reshape(mask.shape)
    prediction = Prediction(
        "malignant",
        (0.2, 0.7, 0.1),
        mask,
        mask.astype(np.float32),
        heat_map,
        tuple(find_lesions(mask)),
        1.0,
        (WARNING,),
    )
    return PanelData(image, prediction, heat_map, "malignant", true_mask=np.roll(mask, 5, axis=0))


def written(data: PanelData, path: Path) -> str:
    draw_panels(data, path)
    return path.read_text()


def test_five_panels_with_a_true_mask_and_four_without(data: PanelData, tmp_path: Path) -> None:
    five = written(data, tmp_path / "five.svg")
    titles = ("input", "true mask", "predicted mask", "Grad-CAM for malignant", "malignant, 70%")
    for text in (*titles, "fraction of the maximum", ">predicted<", ">true<", RESEARCH_USE, WARNING, "benign 0.20"):
        assert text in five, text
    four = written(replace(data, true_mask=None), tmp_path / "four.svg")
    assert "true mask" not in four
    assert ">true<" not in four
    assert render_panels(data).shape[1] > render_panels(replace(data, true_mask=None)).shape[1] >= 1500


def test_a_flat_map_is_said_and_no_noise_is_drawn(data: PanelData, tmp_path: Path) -> None:
    flat = written(replace(data, heat_map=None), tmp_path / "flat.svg")
    assert "Grad-CAM for malignant: flat" in flat
    assert "supports malignant" in flat
    assert "fraction of the maximum" not in flat


def test_the_images_aspect_is_kept_and_hot_pixels_are_yellow(data: PanelData) -> None:
    picture = render_panels(replace(data, true_mask=None)).astype(int)
    red, green, blue = np.moveaxis(picture, -1, 0)
    dark = (red == 30) & (green == 30) & (blue == 30)
    first = dark[:, : picture.shape[1] // 4]
    height = np.ptp(np.flatnonzero(first.any(axis=1))) + 1
    width = np.ptp(np.flatnonzero(first.any(axis=0))) + 1
    assert height / width == pytest.approx(120 / 80, rel=0.03)
    yellow = (red > 130) & (green > 120) & (blue < 80)
    rows, columns = np.nonzero(yellow[:, : int(picture.shape[1] * 0.72)])
    assert len(rows) > 500
    assert rows.min() > picture.shape[0] * 0.4
    assert columns.min() > picture.shape[1] * 0.4


def test_a_contact_sheet_has_a_row_an_image_and_one_colour_bar(data: PanelData, tmp_path: Path) -> None:
    without = replace(data, true_mask=None)
    for name, rows in {"mixed": [data, without, replace(data, heat_map=None)], "without": [without] * 2}.items():
        path = tmp_path / f"{name}.png"
        draw_contact_sheet([(f"image {index}", row) for index, row in enumerate(rows)], path)
        picture = read_image(path)
        assert picture.shape[1] >= 1500
        assert picture.shape[0] > 300 * len(rows)
    draw_panels(data, tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
