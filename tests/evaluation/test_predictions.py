import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest

from busi_keras.errors import UsageError
from busi_keras.evaluation.detection import Detection
from busi_keras.evaluation.faithfulness import Localization
from busi_keras.evaluation.predictions import HEAT_MAP_COLUMNS, read_predictions, write_predictions
from busi_keras.evaluation.scores import ImageScore, Overlap, summarize
from busi_keras.evaluation.surface import SurfaceDistance

SCORES = [
    ImageScore(
        "malignant/malignant (1).png", 1, 0, (0.5, 0.25, 0.25), Overlap(0.5, 0.25), 0.125, 0.25,
        SurfaceDistance(8.5, 2.25, 640), Detection(2, 1, 3), 0.75, 0.5, 1.5, True,
        Localization(0.5, False, 0.25, 0.125),
    ),
    ImageScore(
        "benign/benign (1).png", 0, 0, (0.5, 0.25, 0.25), Overlap(1, 1), 0.125, 0.125, novelty=0.5, novel=False,
        heat_map=Localization(0.75, True, 0.5, 0.25),
    ),
    ImageScore("normal/normal (1).png", 2, None, (), None, 0, 0),
]  # fmt: skip


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.csv", SCORES)
    assert read_predictions(tmp_path / "predictions.csv") == SCORES


def test_a_name_that_is_not_utf8_is_read_as_it_is_on_the_disk(tmp_path: Path) -> None:
    named = replace(SCORES[2], name=os.fsdecode(b"normal/M\xfcller.png"))
    write_predictions(tmp_path / "predictions.csv", [named])
    assert b"normal/M\xfcller.png," in (tmp_path / "predictions.csv").read_bytes()
    assert read_predictions(tmp_path / "predictions.csv") == [named]


def test_a_single_pixel_in_a_large_image_is_not_lost(tmp_path: Path) -> None:
    marked = replace(SCORES[2], overlap=Overlap(0, 0), predicted_area=1 / 50_000_000)
    write_predictions(tmp_path / "predictions.csv", [marked])
    assert summarize([marked]).normal_clean == 0
    assert summarize(read_predictions(tmp_path / "predictions.csv")).normal_clean == 0


def test_a_table_from_before_heat_maps_has_none(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.csv", SCORES)
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        rows = [{k: v for k, v in row.items() if k not in HEAT_MAP_COLUMNS} for row in csv.DictReader(stream)]
    with (tmp_path / "old.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = read_predictions(tmp_path / "old.csv")
    assert [score.heat_map for score in found] == [None] * 3
    assert [score.novelty for score in found] == [1.5, 0.5, None]
    assert summarize(found[:2]).heat_map_energy is None


def test_heat_maps_are_averaged_over_the_images_that_have_one() -> None:
    metrics = summarize(SCORES[:2])
    assert (metrics.heat_map_energy, metrics.heat_map_pointing, metrics.heat_map_iou) == (0.625, 0.5, 0.375)
    assert metrics.heat_map_chance == 0.1875


def test_a_table_of_something_else_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("name,class\na.png,benign\n")
    with pytest.raises(
        UsageError, match=r"line \d+ of .*predictions.csv is damaged, or not of a table .*; score the run again"
    ):
        read_predictions(tmp_path / "predictions.csv")
