import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from busi_keras.dicom.regions import Spacing
from busi_keras.evaluation.lesions import find_lesions
from busi_keras.inference.predictor import Prediction
from busi_keras.report.case_report import CaseReport, Threshold


def report(lesions: int, warnings: int = 0, corrected: bool = False, spacing: Spacing | None = None) -> CaseReport:
    """Of an image with so many squares outlined, two of which the reader drew, too."""
    mask = np.zeros((120, 160), bool)
    for number in range(lesions):
        mask[10:22, 4 + 20 * number : 16 + 20 * number] = True
    drawn = mask.copy()
    drawn[:, 40:] = False
    reason = "the {}th reason, told at some length, why all this must not be believed"
    prediction = Prediction(
        "malignant", (0.2, 0.7, 0.1), mask, mask.astype(np.float32), None, tuple(find_lesions(mask)), 1.5,
        tuple(map(reason.format, range(warnings))),
    )  # fmt: skip
    return CaseReport(
        "a.png", np.full((120, 160, 3), 90, np.uint8), prediction, "multitask resnet50", "busi_keras", "2026-11-25",
        Threshold("screening", 0.25), spacing,
        corrected_mask=drawn if corrected else None, corrected_label="benign" if corrected else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lesions", "warnings", "corrected"), [(0, 0, False), (1, 1, True), (7, 4, False), (7, 4, True)]
)
def test_nothing_on_the_page_lies_over_something_else(lesions: int, warnings: int, corrected: bool) -> None:
    case = report(lesions, warnings, corrected)
    page = case._page(case.figure())
    canvas = FigureCanvasAgg(page)
    canvas.draw()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in page.texts]
    boxes += [axis.get_window_extent(canvas.get_renderer()) for axis in page.axes]
    for index, one in enumerate(boxes):
        assert one.x0 >= 0
        assert one.y0 >= 0
        assert one.x1 <= page.bbox.x1
        for other in boxes[index + 1 :]:
            assert not one.overlaps(other), (lesions, warnings, corrected)


def test_the_readers_lesions_have_sizes_of_their_own() -> None:
    case = report(7, corrected=True, spacing=Spacing(0.5, 0.25))
    document = case.to_json()
    assert (len(document["lesions"]), len(document["corrected_lesions"])) == (7, 2)
    size = document["corrected_lesions"][0]["size"]
    assert (size["width"], size["height"], size["unit"]) == (6.0, 3.0, "mm")
    assert document["corrected_label"] == "benign"
    findings = case._findings()
    assert findings[0] == "Reader's class: benign"
    assert "Lesions outlined: 7" in findings
    assert "Lesions outlined by the reader: 2" in findings
    assert report(7).to_json()["corrected_lesions"] is None


def test_a_novelty_that_is_no_number_is_null_in_json() -> None:
    case = report(1)
    lost = replace(case, prediction=replace(case.prediction, novelty=float("nan")))
    assert json.loads(json.dumps(lost.to_json(), allow_nan=False))["novelty"] is None
    assert case.to_json()["novelty"] == 1.5
