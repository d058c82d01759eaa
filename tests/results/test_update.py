"""README's numbers are those in `results/`, and a run's numbers get there without a picture of the data."""

import csv
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from busi_keras.config import NORMAL
from busi_keras.evaluation.comparison import compare_studies
from busi_keras.evaluation.study_folder import FOLD_FILES, StudyFolder
from busi_keras.workflows.study import run_study

MakeStudy = Callable[..., Path]

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
    assert update.ablations_page(ROOT / "results") == (ROOT / "results" / "ABLATIONS.md").read_text()


def test_a_study_is_taken_in_fold_by_fold_and_goes_on_from_there(
    update: ModuleType, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    monkeypatch.setattr(update, "ROOT", tmp_path)
    monkeypatch.setattr(update, "RESULTS", results)
    monkeypatch.setattr(update, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    weights = tmp_path / "net.weights.h5"
    fields = {"folds": 3, "weights": str(weights)}
    study = make_study(tmp_path / "kfold-small", "kfold", range(2), **fields)
    (study / "fold-1" / "figures").mkdir()

    update.main([str(study)])
    taken = results / "kfold-small"
    numbers = {*FOLD_FILES, "made.json"}
    assert {path.name: {file.name for file in path.iterdir()} for path in taken.iterdir()} == {
        "fold-0": numbers, "fold-1": numbers
    }  # fmt: skip
    assert json.loads((taken / "fold-0" / "experiment.json").read_text())["weights"] == "net.weights.h5"
    assert "--protocol kfold --folds 3 " in json.loads((taken / "fold-0" / "made.json").read_text())["command"] + " "
    scored = sum(len(fold.scores()) for fold in StudyFolder(study).finished())
    readme = (tmp_path / "README.md").read_text()
    assert (
        "| [kfold-small](results/kfold-small/) | kfold | mobilenet-v2, net.weights.h5, 32 px | 1 (1) | 2 of 3 |"
        in readme
    )
    row = next(line for line in readme.splitlines() if "| 2 of 3 |" in line)
    assert row.endswith(f"| {scored} |")
    assert " to " not in row

    elsewhere = shutil.copytree(taken, tmp_path / "studies" / "kfold-small")
    assert [fold.number for fold in StudyFolder(elsewhere).finished()] == [0, 1]
    make_study(elsewhere, "kfold", range(2, 3), folds=3, weights="/elsewhere/net.weights.h5")
    given = {"protocol": "kfold", "approach": "multitask-cnn", "folds": 3, "weights": str(weights)}
    whole = run_study(given, str(phantom_folder), elsewhere, resamples=20).study
    update.main([str(elsewhere)])
    dice = whole.intervals["lesion_dice"]
    readme = (tmp_path / "README.md").read_text()
    assert (
        f"| 1 (1) | 3 | {whole.intervals['dice']} | {dice.estimate:.3f} ({dice.low:.3f} to {dice.high:.3f}) |" in readme
    )
    assert "| 48 |" in readme
    assert {path.name for path in taken.iterdir() if path.is_file()} == {
        "study.json", "table.md", "predictions.csv", "groups.json", "marks.json"
    }  # fmt: skip

    other = make_study(tmp_path / "other" / "kfold-small", "kfold", range(1), folds=3, epochs=9)
    with pytest.raises(SystemExit, match=r"fold-0 is of another experiment than .* \(weights .*; epochs 1, not 9\)"):
        update.main([str(other)])


def test_the_original_stands_beside_the_study_of_its_split(
    update: ModuleType, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    study = make_study(tmp_path / "seed-small", "seed", range(1))
    row = {"stage": "multitask-cnn", "epoch": 1, "val_dice": 0.4, "val_iou": 0.3, "val_accuracy": 0.2, "val_score": 0.3}
    first = row | {"epoch": 0, "val_dice": 0.6, "val_score": 0.4}
    (study / "fold-0" / "history.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(row)}\n")
    given = {"protocol": "seed", "approach": "multitask-cnn"}
    dice = run_study(given, str(phantom_folder), study, resamples=20).study.intervals["dice"]
    lines = update.seed_table(tmp_path).splitlines()
    assert lines[2].endswith("| 0.650 | 0.556 | 0.910 | 0.900 |")
    assert lines[3].startswith(f"| seed-small, scored the same way | {dice} |")
    assert lines[4:] == [
        "| its chosen epoch, 1, at the network's size | 0.600 | 0.300 | 0.200 | |",
        "| its last epoch, 2, at the network's size | 0.400 | 0.300 | 0.200 | |",
    ]

    second = [{**one, "stage": "multitask-cnn-2", "val_dice": one["val_dice"] - 0.2} for one in (row, first)]
    rows = [first, row, *({**one, "epoch": epoch} for epoch, one in enumerate(second))]
    (study / "fold-0" / "history.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    assert update.seed_table(tmp_path).splitlines()[4:] == [
        "| its 2 networks alone, mean of the chosen epochs, 1, 2, at the network's size | 0.500 | 0.300 | 0.200 | |",
        "| its 2 networks alone, mean of the last epochs, 2, 2, at the network's size | 0.400 | 0.300 | 0.200 | |",
    ]


def test_a_folder_that_is_no_finished_run_is_refused_and_leaves_nothing(update: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no-such is no finished run: it has no metrics\.json"):
        update.main([str(tmp_path / "no-such")])
    assert not (ROOT / "results" / "no-such").exists()


def test_heat_maps_have_a_row_for_all_lesions_and_one_for_each_class(
    update: ModuleType, make_study: MakeStudy, phantom_folder: Path, tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "kfold-small", "kfold", range(2))
    assert update.heat_map_table([]) == "Not measured yet."
    given = {"protocol": "kfold", "approach": "multitask-cnn", "folds": 2}
    study = run_study(given, str(phantom_folder), folder, resamples=20).study
    *_, every, benign, malignant = update.heat_map_table(update.complete_studies(tmp_path)).splitlines()
    n = study.metrics.n
    lesions = n["benign"] + n["malignant"]
    assert every.startswith(f"| kfold-small | all lesions | {lesions}, 2 of them perturbed | ")
    intervals = [study.intervals[f"heat_map_{name}"] for name in ("energy", "pointing", "iou")]
    energy, pointing, iou = map(str, intervals)
    assert f"| {energy} | 0.080 | {pointing} | {iou} | 0.250 | 0.750 | – |" in every
    energies = [study.subsets[name].heat_map_energy for name in ("benign", "malignant")]
    pooled = sum(energy * n[name] for energy, name in zip(energies, ("benign", "malignant"), strict=True)) / lesions
    assert pooled == pytest.approx(study.metrics.heat_map_energy)
    for row, name, mean in zip((benign, malignant), ("benign", "malignant"), energies, strict=True):
        assert row.startswith(f"| kfold-small | {name} | {n[name]}, ")
        assert f"perturbed | {mean:.3f} | 0.080 | " in row
    chosen_on_them = make_study(tmp_path / "seed-small", "seed", range(1))
    run_study({"protocol": "seed", "approach": "multitask-cnn"}, str(phantom_folder), chosen_on_them, resamples=20)
    assert "seed-small" not in update.heat_map_table(update.complete_studies(tmp_path))


def test_leakage_is_what_plain_folds_report_beyond_grouped_ones(
    update: ModuleType, make_study: MakeStudy, tmp_path: Path
) -> None:
    folders = (
        make_study(tmp_path / "leaky", "leaky", range(2), dice=0.8),
        make_study(tmp_path / "kfold", "kfold", range(2)),
    )
    found = compare_studies(*map(StudyFolder, folders), groups=[], resamples=50)
    assert update.leakage_table(tmp_path) == "Not measured yet."
    (tmp_path / "leakage").mkdir()
    for name in ("all", "duplicated", "unique"):
        (tmp_path / "leakage" / f"{name}.json").write_text(json.dumps(found.to_json()))
    row = update.leakage_table(tmp_path).splitlines()[-1]
    one = found.differences["lesion_dice"]
    assert row.startswith(f"| all | 48 | {one.first:.3f}, {one.second:.3f} | +0.")
    assert one.interval.low > 0.05


def test_results_agree_with_their_own_per_image_numbers() -> None:
    folders = [path.parent for path in (*ROOT.glob("results/*/metrics.json"), *ROOT.glob("results/*/*/metrics.json"))]
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


def test_what_normals_left_clean_cost_is_read_off_the_scores(
    update: ModuleType, make_study: MakeStudy, tmp_path: Path
) -> None:
    study = StudyFolder(make_study(tmp_path / "kfold", "kfold", range(2)))
    rows = re.findall(r"^\| (0\.\d) \| (\S+) \| (\S+) \| (\S+) \|$", update.limits([study]), re.MULTILINE)
    bounds, lesion_dice, clean, dice = np.array(rows, float).T
    assert bounds.tolist() == [0.5, 0.3, 0.2, 0.1]
    assert (np.diff(lesion_dice) <= 0).all()
    assert (np.diff(clean) >= 0).all()
    scores = [score for split in study.splits() for score in split]
    lesions = [score for score in scores if score.label != NORMAL]
    kept = [score.overlap.dice if score.probabilities[NORMAL] <= 0.1 else 0 for score in lesions if score.overlap]
    assert lesion_dice[-1] == pytest.approx(np.mean(kept), abs=5e-4)
    shares = np.array([len(lesions), len(scores) - len(lesions)]) / len(scores)
    np.testing.assert_allclose(dice, shares @ [lesion_dice, clean], atol=0.002)
