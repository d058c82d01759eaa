"""README's numbers are those in `results/`, and a run's numbers get there without a picture of the data."""

import csv
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def update() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_update", ROOT / "results" / "update.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_shows_what_results_hold(update: ModuleType) -> None:
    text = (ROOT / "README.md").read_text()
    assert update.readme(text) == text


def test_results_agree_with_their_own_per_image_numbers() -> None:
    folders = [path.parent for path in ROOT.glob("results/*/metrics.json")]
    assert folders
    for folder in folders:
        metrics = json.loads((folder / "metrics.json").read_text())
        with (folder / "predictions.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == sum(metrics["n"].values())
        assert sum(row["class"] == row["predicted"] for row in rows) / len(rows) == pytest.approx(metrics["accuracy"])
        assert sum(float(row["dice"]) for row in rows) / len(rows) == pytest.approx(metrics["dice"], abs=1e-5)
        assert {path.suffix for path in folder.iterdir()} <= {".json", ".jsonl", ".csv", ".png"}
        assert {path.name for path in folder.glob("*.png")} <= {"history.png", "confusion.png", "roc.png"}
