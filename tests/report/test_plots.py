"""What plots say, read off the drawn figure."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from busi_keras.evaluation.scores import ImageScore
from busi_keras.report import plots


@pytest.mark.parametrize(
    ("images", "drawn", "of_bins"), [(300, "15 bins of 20 images", ""), (40, "4 bins of 10 images", " (15 bins)")]
)
def test_a_reliability_diagram_says_what_its_error_and_its_points_are_of(
    images: int, drawn: str, of_bins: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: figures.append(figure))
    benign, malignant = (
        [ImageScore(f"{i}", label, label, tuple(0.1 + 0.7 * np.eye(3)[label]), None, 0, 0) for i in range(images // 2)]
        for label in (0, 1)
    )
    plots.plot_reliability([*benign, *malignant], tmp_path / "reliability.png")
    plots.plot_reliability(benign, tmp_path / "reliability.png")
    assert figures[1].axes[0].get_title() == f"{images // 2} images, of one class"
    axis = figures[0].axes[0]
    assert axis.get_title() == f"{images} images, expected calibration error 0.200{of_bins}"
    points = next(line for line in axis.get_lines() if line.get_label() == drawn)
    bins = int(drawn.split()[0])
    np.testing.assert_allclose(points.get_xydata(), [[0.8, 1.0]] * bins)
