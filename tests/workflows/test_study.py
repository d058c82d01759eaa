"""A protocol from its first fold to its table, as a user runs it."""

import csv
import json
from pathlib import Path

import pytest

from busi_keras.errors import UsageError
from busi_keras.training.run import read_predictions, write_predictions
from busi_keras.workflows.study import run_study

SMALL = {
    "approach": "multitask-cnn", "backbone": "mobilenet-v2", "weights": "none", "image_size": 32, "batch_size": 8,
    "epochs": 1, "folds": 2,
}  # fmt: skip


def test_the_folds_of_a_study_are_pooled_and_it_goes_on_where_it_stopped(phantom_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    study = run_study({**SMALL, "protocol": "kfold"}, str(phantom_folder), folder, resamples=50)
    assert len(study.scores) == 48
    assert len({score.name for score in study.scores}) == 48
    document = json.loads((folder / "study.json").read_text())
    assert sum(document["n"].values()) == 48
    dice = document["intervals"]["dice"]
    assert dice["low"] <= dice["estimate"] <= dice["high"]
    with (folder / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(float(row["dice"]) for row in rows) / 48 == pytest.approx(dice["estimate"], abs=1e-5)
    assert document["metrics"]["dice"] == pytest.approx(dice["estimate"])
    assert sum(document["subsets"][name]["n"][name] for name in ("benign", "malignant", "normal")) == 48
    assert "| dice |" in (folder / "table.md").read_text()

    write_predictions(tmp_path / "again.csv", read_predictions(folder / "predictions.csv"))
    assert (tmp_path / "again.csv").read_bytes() == (folder / "predictions.csv").read_bytes()

    before = {path: path.stat().st_mtime_ns for path in folder.glob("fold-*/model.keras")}
    assert len(before) == 2
    (folder / "study.json").unlink()
    again = run_study({**SMALL, "protocol": "kfold"}, str(phantom_folder), folder, resamples=50)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.intervals == study.intervals
    with pytest.raises(UsageError, match="belongs to another experiment"):
        run_study({**SMALL, "protocol": "leaky"}, str(phantom_folder), folder)


def test_a_study_needs_a_protocol_of_its_own(phantom_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--protocol is 'grouped'; a study has one of kfold, leaky, seed"):
        run_study({**SMALL, "protocol": "grouped"}, str(phantom_folder), tmp_path)


@pytest.mark.parametrize("folds", [0, 1, -3])
def test_a_study_needs_two_folds(folds: int, phantom_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--folds is {folds}; it must be at least 2"):
        run_study({**SMALL, "folds": folds}, str(phantom_folder), tmp_path)
    assert not any(tmp_path.iterdir())
